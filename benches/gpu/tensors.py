"""Tensors in files, with Python alone: safetensors read and written, pictures written."""

import array
import json
import math
import random
import struct

NUMBERS = {"F32": "f", "I64": "q", "F64": "d"}


def read(path):
    """Name to (shape, numbers) of every tensor in a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        numbers = array.array(NUMBERS[entry["dtype"]], data[begin:end])
        tensors[name] = (entry["shape"], numbers)
    return tensors


def write(path, tensors):
    """Writes f32 tensors: name to (shape, numbers)."""
    header, begin, parts = {}, 0, []
    for name, (shape, numbers) in tensors.items():
        part = array.array("f", numbers).tobytes()
        offsets = [begin, begin + len(part)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        begin = offsets[1]
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def difference(found, wanted):
    """Largest difference of two tensors as a share of the largest magnitude; infinite for
    other shapes, and where a number is not finite."""
    (shape, ours), (other_shape, theirs) = found, wanted
    differences = [abs(a - b) for a, b in zip(ours, theirs)]
    # `max` passes over a NaN, unless it is the first.
    if shape != other_shape or not all(map(math.isfinite, differences)):
        return math.inf
    magnitude = max(map(abs, theirs), default=0.0) or 1.0
    return max(differences, default=0.0) / magnitude


def write_pictures(folder, count, side):
    """Writes pictures of waves and grain, three channels, as NumPy's files of bytes."""
    folder.mkdir(parents=True)
    chance = random.Random(side)
    shape = f"(3, {side}, {side})"
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust((len(header) + 74) // 64 * 64 + 53) + "\n"
    for number in range(count):
        rows = []
        for _ in range(3):
            step, level = chance.uniform(0.02, 0.3), chance.uniform(60, 190)
            wave = bytes(int(level + 50 * math.sin(step * x)) for x in range(2 * side))
            rows += [wave[row : row + side] for row in range(side)]
        pixels = bytearray(b"".join(rows))
        # Grain in every seventh sample, so that no two pictures are alike.
        pixels[::7] = chance.randbytes(len(pixels[::7]))
        file = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
        (folder / f"{number:05}.npy").write_bytes(file + bytes(pixels))
