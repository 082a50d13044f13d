"""Frames a second, and a second of the processors, that PyAV decodes: pyav.py VIDEO whole|clips TIMES WORKERS START...

`whole` gives every frame as an RGB array, TIMES times. `clips` gives 16 of 64 frames from each
START: it seeks to the key frame before, decodes on, and converts the sixteen alone.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import av

path, what, times, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
starts = [int(start) for start in sys.argv[5:]]


def whole(_):
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return len(frames)


def clip(start):
    with av.open(path) as container:
        stream = container.streams.video[0]
        first = start / float(stream.average_rate)
        container.seek(int(first / stream.time_base), stream=stream)
        wanted = {start + at * 63 // 15 for at in range(16)}
        frames = []
        for frame in container.decode(stream):
            number = round(frame.pts * float(stream.time_base) * float(stream.average_rate))
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number >= start + 63:
                break
    assert len(frames) == 16, len(frames)
    return 64


work, items = (whole, range(times)) if what == "whole" else (clip, starts)
with ThreadPoolExecutor(workers) as pool:
    list(pool.map(work, list(items)[:1]))
    clock, processors = time.perf_counter(), time.process_time()
    frames = sum(pool.map(work, items))
    print(frames / (time.perf_counter() - clock), frames / (time.process_time() - processors))
