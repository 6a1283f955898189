"""The rows of a job as a data source of Ray Data."""

from __future__ import annotations

import functools

from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.data.context import DataContext

from .pieces import ROW_SCHEMA, read_piece
from .sources import Inputs


class RowSource(Datasource):
    """Yields rows of ``pieces.ROW_SCHEMA``; one task reads one piece.

    The ids must be there when Ray Data filters the rows that are in its checkpoints, which is
    directly after the source.
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self._inputs = inputs

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: unknown."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return one task per piece, whatever ``parallelism`` is."""
        return [
            ReadTask(
                functools.partial(read_piece, piece, self._inputs.columns, self._inputs.root),
                BlockMetadata(
                    num_rows=piece.rows, size_bytes=None, input_files=None, exec_stats=None
                ),
                schema=ROW_SCHEMA,
                per_task_row_limit=per_task_row_limit,
            )
            for piece in self._inputs.pieces
        ]
