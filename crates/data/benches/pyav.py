"""Frames a second, and a second of the processors, that PyAV decodes: pyav.py VIDEO CASE TIMES WORKERS START...

`whole` gives every frame as an RGB array, TIMES times. `clips` gives 16 of 64 frames from each
START: it seeks to the key frame before, decodes on, and converts the sixteen alone. `repeats`
gives the clips of four STARTs from one pass over the video.
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


def clips(starts):
    with av.open(path) as container:
        stream = container.streams.video[0]
        first, last = min(starts), max(starts) + 63
        begin = first / float(stream.average_rate)
        container.seek(int(begin / stream.time_base), stream=stream)
        wanted = {start + at * 63 // 15 for start in starts for at in range(16)}
        frames = []
        for frame in container.decode(stream):
            number = round(frame.pts * float(stream.time_base) * float(stream.average_rate))
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number >= last:
                break
    assert len(frames) == len(wanted), len(frames)
    return last - first + 1


together = 4 if what == "repeats" else 1
groups = [starts[at : at + together] for at in range(0, len(starts), together)]
work, items = (whole, range(times)) if what == "whole" else (clips, groups)
with ThreadPoolExecutor(workers) as pool:
    list(pool.map(work, list(items)[:1]))
    clock, processors = time.perf_counter(), time.process_time()
    frames = sum(pool.map(work, items))
    print(frames / (time.perf_counter() - clock), frames / (time.process_time() - processors))
