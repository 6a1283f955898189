"""What the times in a report mean, as it prints them."""

from __future__ import annotations

from .results import Report

TIMES = (
    "Latency: wall-clock time of one query, from handing over the input, in the layout the system "
    "takes, to having the output. In trtexec's terms: enqueue, H2D copy, compute and D2H copy, and "
    'the waits between them, one query at a time (its own "Latency" is H2D + compute + D2H by the '
    "GPU's clock, without enqueue). On a CPU nothing is copied to a device: it is the call.",
    "Warm-up: queries of each system before anything is counted. Duration: measuring goes on until "
    "every system's counted queries add up to it, and are as many as the least number.",
    "Systems take turns in one run, of a quarter of a second or an eighth of the duration, three "
    "queries at least; the first query of a turn is not counted.",
    "Percentiles as trtexec takes them: number max(n - 1 - int((1 - p/100) n), 0) of n sorted "
    "values; no p99 below 100 queries. Variation: coefficient of variation, the standard deviation "
    "of all n as a share of the mean.",
    "Throughput: images per second of time spent in queries (trtexec's is queries per second of "
    "the whole run). Speed-up: ratio of the medians.",
)
ACCURACY = (
    "Detection: ICDAR 2015 protocol, IoU above 0.5, don't-care boxes left out on both sides.",
    "CER: edits per true character. Word accuracy: exact, with case and punctuation; loose: "
    "letters and digits only, any case.",
    "End to end: ICDAR 2015 protocol, task 4.4, without lexicon: a box matched as above counts if "
    "its text is right, in any case; one of !?.:,*\"()·[]/' may be missing at either end; words "
    "without a known text are don't-care.",
    "[low, high]: 95 % confidence intervals, BCa bootstrap (Efron, 1987): whole images are drawn "
    "again with all their words, 5000 times, seed 0. Differences: of an engine and its model on "
    "the same draws. None below 8 images.",
    "p: two-sided exact sign test (on words right or wrong: McNemar's) on the changed samples, as "
    "if each were independent. A word is worse with more edits to the truth, an image with more "
    "words missed and boxes wrong.",
)
COMPETITORS = (
    "Competitors: the model as it is, run otherwise. TensorFlow eager: called as loaded (the "
    "signature of a SavedModel is a graph already); XLA: tf.function(jit_compile=True); openvino: "
    "the user's own file, read by OpenVINO and compiled with its defaults, in the precision "
    "that it then says it runs in. Each is compared with the model on the same noise at all batch "
    "sizes; other numbers: they differ by more than the spec allows an fp32 engine.",
)
LOAD = (
    "Load: one image per request; requests wait in one queue, first come, first served. An "
    "engine runs as many at once as `ocr-trt optimize` found best, or one per core. Latency "
    "counts from when a request was sent (closed loop) or due (open loop) to having the output, "
    "waiting included.",
    "Closed loop: each client sends its next request when it has the answer to its last one. "
    "Images per second of the whole run.",
    "Open loop: requests are due at the times of a Poisson process with rate times duration events "
    "(so many times, drawn uniformly by NumPy's default_rng(0)), whether or not the engine is "
    "ready: a stall is felt by all that were due in it (no coordinated omission). Without --rate: "
    "50, 80 and 95 % of the best closed-loop throughput of each system. Offered: requests due per "
    "second; achieved: those answered before the duration was over; the others wait. One whose "
    "turn never came counts with the time it had waited, so percentiles are lower bounds where an "
    "engine did not keep up. It kept up if no more wait than two per batch that it runs at once, "
    "or 5 %.",
)
PIPELINE = (
    "Whole images: from the file to the text. One worker: the systems read each image in turn; "
    "images per second are their number by the sum of their median times; stages are means of "
    "each image's medians. More workers: of the median pass over all images, with as many "
    "batches at once as `ocr-trt optimize` found best, or one per core, and two workers more. "
    "Speed-up: images per second against one worker of the model. The first pass does not count.",
)
ROOFLINE = (
    "FLOPs: multiply-adds, as two, of Conv, ConvTranspose, MatMul, Gemm, Einsum, LSTM, GRU and RNN "
    "of the quantized graph, over padding too. Elementwise ops, pooling, softmax and norms count "
    "bytes only. Bytes: inputs, outputs and weights of the layers that the target made, as they "
    "are stored; of an input that a part is taken of, that part.",
    "Peaks: the better of two measurements, before the layers were timed and after. FLOP/s: the "
    "fastest of eighteen 3x3 convolutions (48 to 192 channels, 64x64 to 160x160) that OpenVINO "
    "runs on the CPU in that precision, timed as layers are. Memory: the fastest NumPy copy of "
    "four times the caches, bytes read and bytes written.",
    "Roofline: a layer takes at least max(FLOPs / peak of the precision it runs in, bytes / "
    "memory); a layer whose tensors stay in the caches can be faster. Layers: medians of five "
    "blocks of runs, with the target's counters on; shares are of all layers and the time between.",
)


def definitions_of(report: Report) -> tuple[str, ...]:
    """Return the definitions of the figures that are in a report."""
    rows = [row for model in report.models for row in model.systems]
    pairs = report.end_to_end.systems if report.end_to_end else ()
    return (
        *TIMES,
        *ACCURACY,
        *(COMPETITORS if any(row.kind == "competitor" for row in rows) else ()),
        *(LOAD if any(row.load for row in rows) else ()),
        *(PIPELINE if any(row.pipeline for row in pairs) else ()),
        *(ROOFLINE if report.peaks else ()),
    )
