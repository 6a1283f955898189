"""The definitions of all figures in a report, as the report prints them."""

from __future__ import annotations

from .results import Report

TIMES = (
    "Latency: wall-clock time of one query, from the call with the input, in the layout that the "
    "system requires, until the output is available.",
    "Warm-up: queries of each system that are not counted. Duration: the measurement ends when the "
    "counted queries of every system add up to this time and reach the minimum number.",
    "Turns: the systems take turns in one run. A turn is a quarter of a second or an eighth of the "
    "duration, and at least three queries; its first query is not counted.",
    "Percentiles: value number max(n - 1 - int((1 - p/100) n), 0) of n sorted "
    "values. There is no p99 below 100 queries. Variation: the coefficient of variation, which is "
    "the standard deviation of all n values divided by their mean.",
    "Throughput: images per second of the time spent in queries. Speedup: ratio of the medians.",
)
TRTEXEC = (
    "Compared with trtexec: latency is the sum of enqueue, H2D copy, compute, D2H copy and the "
    'waits between them, with one query at a time. (The "Latency" of trtexec is H2D + compute + '
    "D2H by the clock of the GPU, without enqueue.) Percentiles are defined as in trtexec. (Its "
    "throughput is queries per second of the whole run.)",
)
ACCURACY = (
    "Detection: ICDAR 2015 protocol, IoU above 0.5; don't-care boxes are removed on both sides.",
    "CER: edits per character of the labels. Word accuracy: exact match, with case and "
    "punctuation. Loose word accuracy: match of letters and digits only, in any case.",
    "End to end: ICDAR 2015 protocol, task 4.4, without a lexicon. A box that matches as above "
    "counts if its text is correct, in any case; one of !?.:,*\"()·[]/' may be missing at either "
    "end. Words without a known text are don't-care.",
    "[low, high]: 95 % confidence interval of a BCa bootstrap (Efron, 1987) that resamples whole "
    "images with all their words 5000 times, with seed 0. Differences are those of an engine and "
    "its model on the same resamples. There are no intervals below 8 images.",
    "p: two-sided exact sign test on the changed samples, as if they were independent (McNemar's "
    "test if words are right or wrong). A word is worse if it has more edits to its label, and an "
    "image is worse if it has more missed words and wrong boxes.",
)
COMPETITORS = (
    "Competitors: the unconverted model in other runtimes. TensorFlow eager: called as loaded (the "
    "signature of a SavedModel is already a graph). XLA: tf.function(jit_compile=True). OpenVINO: "
    "the user's own file, read by OpenVINO and compiled with its defaults, in the precision that "
    "OpenVINO then reports. Each competitor is compared with the model on the same noise at all "
    'batch sizes; "different output" means that its outputs differ by more than the spec allows an '
    "fp32 engine.",
)
LOAD = (
    "Load: one image per request. Requests wait in one queue, first come, first served. An engine "
    "runs as many streams as `ocr-trt optimize` found best, or one per core. Latency includes "
    "waiting: it starts when the request is sent (closed loop) or due (open loop), and ends when "
    "the output is available.",
    "Closed loop: each client sends its next request when its last one is answered. Images per "
    "second are those of the whole run.",
    "Open loop: requests are due at the times of a Poisson process, whether or not the engine is "
    "ready, so that every request due during a stall counts the stall (no coordinated omission). "
    "The times are rate x duration uniform draws of NumPy's default_rng(0). Without --rate, the "
    "rates are 50, 80 and 95 % of the best closed-loop throughput of each system. Offered: "
    "requests due per second. Achieved: requests per second that were answered within the "
    "duration. A request that was never started counts with the time it has waited, so percentiles "
    "are lower bounds if an engine did not keep up. It kept up if at most two requests per stream "
    "are waiting at the end, or at most 5 % of all.",
)
PIPELINE = (
    "Whole images: from the file to the text. One worker: the systems read each image in turn; a "
    "recognizer with one plan for all widths reads several lines of it at once, and its time then "
    "includes preparing and decoding them. Images per second are the number of images divided by "
    "the sum of their median times; the time of a stage is the mean of its medians over the "
    "images. More workers: images per second are those of the median pass over all images, with "
    "as many streams as `ocr-trt optimize` found best, or one per core, and with two workers more "
    "than streams. Speedup: images per second divided by those of one worker of the model. The "
    "first pass is not counted.",
)
ROOFLINE = (
    "FLOPs: multiply-adds, counted as two, of Conv, ConvTranspose, MatMul, Gemm, Einsum, LSTM, GRU "
    "and RNN in the quantized graph, including those on padding. Elementwise ops, pooling, softmax "
    "and normalization count bytes only. Bytes: inputs, outputs and weights of the layers of the "
    "target, as stored; if a layer reads a part of an input, only that part.",
    "Peaks: the better of two measurements, one before the layers are timed and one after. FLOP/s: "
    "the fastest of eighteen 3x3 convolutions (48 to 192 channels, 64x64 to 160x160) that OpenVINO "
    "runs on the CPU in that precision, timed like the layers. Memory: the fastest NumPy copy of "
    "four times the size of the caches, counting bytes read and bytes written.",
    "Roofline: the time of a layer is at least max(FLOPs / peak of its precision, bytes / memory "
    "bandwidth). A layer whose tensors stay in the caches can be faster. Layers: medians of five "
    "blocks of runs, with the counters of the target on. Shares of time are relative to all layers "
    "and the time between them.",
)


def definitions_of(report: Report) -> tuple[str, ...]:
    """Return the definitions of the figures that are in a report."""
    rows = [row for model in report.models for row in model.systems]
    pairs = report.end_to_end.systems if report.end_to_end else ()
    return (
        *TIMES,
        *(TRTEXEC if any(row.target.startswith("tensorrt") for row in rows) else ()),
        *ACCURACY,
        *(COMPETITORS if any(row.kind == "competitor" for row in rows) else ()),
        *(LOAD if any(row.load for row in rows) else ()),
        *(PIPELINE if any(row.pipeline for row in pairs) else ()),
        *(ROOFLINE if report.peaks else ()),
    )
