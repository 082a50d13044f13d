"""The PyTorch side of the comparison; `cargo xtask bench peers` calls it.

    main.py measure CASE VARIANT WAY --shared DIR --threads N --steps N

prints one measurement as a line of JSON: seconds of each timed call, what a
call works through, the first and last loss, and the versions of what ran. The
other side is the program `ours`, with the same commands.
"""

import argparse
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["measure"])
    parser.add_argument("case")
    parser.add_argument("variant")
    parser.add_argument("way")
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    # Imported here, so that a case pays for nothing that it does not use.
    if arguments.case == "optimizer":
        from optimizer import measure
    elif arguments.case == "masks":
        from masks import measure
    elif arguments.case == "loader":
        from loader import measure
    elif arguments.case == "resnet18-cifar10":
        from moco import measure
    elif arguments.case == "views":
        from views import measure
    elif arguments.case == "text":
        from text import measure
    elif arguments.case == "captions":
        from captions import measure
    else:
        from steps import measure
    measurement = measure(arguments)
    packages = ["torch", "torchvision", "timm", "pillow", "numpy", "scikit-learn", "tokenizers"]
    measurement["versions"] = {name: installed(name) for name in packages}
    measurement["versions"]["python"] = platform.python_version()
    print(json.dumps(measurement))


def installed(name):
    """The version of a package, "none" for one that this case did without."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


if __name__ == "__main__":
    main()
