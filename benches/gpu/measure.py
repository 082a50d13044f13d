"""Measures a built program on a GPU; `benches/gpu/run` calls it.

Every part stands by itself: one that fails is recorded, and the next goes on. Parts
end when the minutes do. The only packages needed are PyTorch, for the comparison
with it, and none at all for the rest.
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cifar10
import record
import tensors
from program import Bauta, Failed, losses, weights

TINY = {"name": "ViT-Ti/4 at 32 px", "image": 32, "patch": 4, "dim": 192, "depth": 12, "heads": 3,
        "decoder_dim": 192, "decoder_depth": 4, "decoder_heads": 3, "batch": 1024}
DECODER = {"image": 224, "patch": 16, "decoder_dim": 512, "decoder_depth": 8, "decoder_heads": 16}
SIZES = [
    TINY,
    {"name": "ViT-S/16 at 224 px", "dim": 384, "depth": 12, "heads": 6, "batch": 512, **DECODER},
    {"name": "ViT-B/16 at 224 px", "dim": 768, "depth": 12, "heads": 12, "batch": 256, **DECODER},
    {"name": "ViT-L/16 at 224 px", "dim": 1024, "depth": 24, "heads": 16, "batch": 128, **DECODER},
]
DRY = {"name": "a miniature at 16 px", "image": 16, "patch": 4, "dim": 32, "depth": 2, "heads": 2,
       "decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 2, "batch": 4}

# Largest differences allowed between CPU and GPU, as shares of the largest magnitude.
TOLERANCES = {"fp32": 1e-4, "bf16": 1e-2}
# Losses of twenty steps: differences of single passes grow through the weights.
LOSS_TOLERANCE = 1e-3
STEPS = 20


class Trial:
    """What all parts share."""

    def __init__(self, arguments, scratch):
        self.dry, self.out = arguments.dry_run, arguments.out
        minutes = arguments.minutes
        self.bauta = Bauta(arguments.binary, arguments.root, scratch,
                           time.monotonic() + 60 * minutes)
        self.cifar10, self.scratch = arguments.cifar10, scratch
        self.device = "cpu" if self.dry else "cuda"
        self.small = DRY if self.dry else {**TINY, "batch": 64}
        self.sizes = [DRY] if self.dry else SIZES
        self.pictures = {}

    def pictures_of(self, side, count):
        """A folder of synthetic pictures, made once."""
        if side not in self.pictures:
            folder = self.scratch / f"pictures-{side}"
            tensors.write_pictures(folder, count, side)
            self.pictures[side] = folder
        return self.pictures[side]


def machine(trial):
    """The processor, the repository's commit, and versions."""
    found = {"processor": processor(), "threads": os.cpu_count(),
             "commit": commit(trial.bauta.root), "python": platform.python_version()}
    found["bauta"] = trial.bauta.call("--version").strip()
    if trial.dry:
        found["torch"] = "left out of the dry run"
    else:
        found["torch"] = said("import torch; print(torch.__version__, torch.version.cuda)")
        # Without it, PyTorch's side has blocks of its own, which compute the same.
        found["timm"] = said("import importlib.metadata as m; print(m.version('timm'))")
    return found


def gpu(trial):
    """The GPUs that the driver or PyTorch sees; fails where there is none."""
    if trial.dry:
        return {"gpu": "the CPU stands for it"}
    ask = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
        if done.returncode == 0 and done.stdout.strip():
            return {"gpu": "; ".join(done.stdout.strip().splitlines())}
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
        problem = f"nvidia-smi lists none: {lines[0]}"
    except FileNotFoundError:
        problem = "there is no nvidia-smi, which comes with NVIDIA's driver"
    except subprocess.TimeoutExpired:
        problem = "nvidia-smi does not end"
    seen = said("import torch; print(torch.cuda.is_available() and torch.cuda.get_device_name())")
    if seen in ("none", "False"):
        raise Failed(f"no GPU: {problem}; PyTorch sees none either; --dry-run needs none")
    return {"gpu": f"{seen}, by PyTorch; {problem}"}


def processor():
    """The processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def commit(root):
    """The commit of the repository that this script is in, and whether files differ from it."""
    try:
        ask = ["git", "-C", str(root)]
        quiet = {"capture_output": True, "text": True, "check": True}
        head = subprocess.run([*ask, "rev-parse", "--short", "HEAD"], **quiet).stdout.strip()
        # Not what is untracked, such as this record.
        changes = subprocess.run([*ask, "status", "--porcelain", "-uno"], **quiet).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def said(code):
    """What a line of Python prints in a process of its own, or "none" where it fails."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stdout.strip() if done.returncode == 0 else "") or "none"


def twenty_steps(trial):
    """Twenty steps of MAE on both devices, from the same weights on the same batches."""
    small, found = trial.small, []
    pictures = trial.pictures_of(small["image"], small["batch"] * STEPS)
    for name, place in (("on-cpu", "cpu"), ("on-gpu", trial.device)):
        recipe = trial.bauta.recipe(small, pictures, place, train__log_every=1)
        found.append(losses(trial.bauta.train(name, recipe)))
    on_cpu, on_gpu = found
    if list(on_cpu) != list(on_gpu) or len(on_cpu) != STEPS:
        raise Failed(f"{len(on_cpu)} and {len(on_gpu)} steps instead of {STEPS}")
    worst = max(abs(on_gpu[step] / on_cpu[step] - 1) for step in on_cpu)
    check(worst <= LOSS_TOLERANCE, f"losses differ by {worst:.2e}, more than {LOSS_TOLERANCE}")
    return {"steps": STEPS, "largest_relative_difference": worst,
            "tolerance": LOSS_TOLERANCE, "losses_cpu": list(on_cpu.values()),
            "losses_gpu": list(on_gpu.values())}


def forward(trial):
    """One exact pass of a trained model on the CPU and on the GPU, fp32 and bf16."""
    model = trial.scratch / "on-cpu/checkpoints/last"
    if not model.exists():
        raise Failed("there is no model: twenty steps were not made")
    small, chance = trial.small, random.Random(0)
    count, tokens = 4, (small["image"] // small["patch"]) ** 2
    pixels = [count, 3, small["image"], small["image"]]
    numbers = [chance.gauss(0, 1) for _ in range(count * 3 * small["image"] ** 2)]
    noise = [chance.random() for _ in range(count * tokens)]
    file = trial.scratch / "input.safetensors"
    tensors.write(file, {"pixel_values": (pixels, numbers), "noise": ([count, tokens], noise)})
    outputs = {}
    for name, more in [("cpu", ["--device", "cpu"]), ("fp32", ["--device", trial.device]),
                       ("bf16", ["--device", trial.device, "--bf16"])]:
        out = trial.scratch / f"output-{name}.safetensors"
        trial.bauta.call("forward", "--model", model, "--input", file, "--out", out, *more)
        outputs[name] = tensors.read(out)
    wanted, found = outputs.pop("cpu"), {}
    for name, output in outputs.items():
        found[name] = {of: tensors.difference(output[of], wanted[of]) for of in wanted}
        worst = max(found[name].values())
        allowed = TOLERANCES[name]
        check(worst <= allowed, f"{name} differs by {worst:.2e}, more than {allowed}")
    return {"tolerances": TOLERANCES, "largest_differences": found,
            "loss": wanted["loss"][1][0]}


def resume(trial):
    """A run that is killed and resumed against one that is not."""
    small = trial.small
    pictures = trial.pictures_of(small["image"], small["batch"] * STEPS)
    every, epochs = (5, 2) if trial.dry else (20, 10)
    keys = {"train__epochs": epochs, "train__checkpoint_every": every, "train__log_every": every}
    recipe = trial.bauta.recipe(small, pictures, trial.device, **keys)
    whole = trial.bauta.train("whole", recipe)
    step = trial.bauta.kill_in_training("killed", recipe)
    killed = trial.bauta.train("killed", recipe, "--resume")
    one, other = (tensors.read(weights(folder)) for folder in (whole, killed))
    worst = max(tensors.difference(other[name], one[name]) for name in one)
    ends = [list(losses(folder).values())[-1] for folder in (whole, killed)]
    same = weights(whole).read_bytes() == weights(killed).read_bytes()
    check(same or not trial.dry, "the weights differ, which on the CPU they must not")
    check(abs(ends[1] / ends[0] - 1) <= LOSS_TOLERANCE, f"last losses are {ends}")
    return {"killed_at_step": step, "equal_bits": same, "largest_difference": worst,
            "last_losses": ends}


def speed(trial, sizes):
    """Images a second of whole training steps in bf16, ours and PyTorch's."""
    steps, batch = 3 if trial.dry else 20, sizes["batch"]
    pictures = trial.pictures_of(sizes["image"], 4 * batch if trial.dry else 2048)
    keys = {"train__precision": "bf16", "train__epochs": 100}
    recipe = trial.bauta.recipe(sizes, pictures, trial.device, **keys)
    file = trial.scratch / "throughput.json"
    trial.bauta.call("throughput", *recipe, "--steps", steps, "--json", file)
    ours = json.loads(file.read_text())
    found = {"model": sizes["name"], "batch": batch, "gflop_per_image":
             ours["flops_per_sample"] / 1e9, "peak_tflops": ours["peak_bf16"] / 1e12,
             "ways": [{"way": "bauta", "images_per_second": ours["samples_per_second"]["median"],
                       "peak_share": ours["peak_share"], "data_share": ours["data_share"]}]}
    if trial.dry:
        found["peers"] = "left out of the dry run"
        return found
    for way in ("eager", "compile"):
        try:
            images = peer(trial, sizes, way, steps)
        except Failed as failure:
            found["ways"].append({"way": f"torch {way}", "failed": str(failure)})
            continue
        share = images * ours["flops_per_sample"] / ours["peak_bf16"]
        ratio = found["ways"][0]["images_per_second"] / images
        found["ways"].append({"way": f"torch {way}", "images_per_second": images,
                              "peak_share": share, "bauta_over_it": ratio})
    return found


def peer(trial, sizes, way, steps):
    """PyTorch's images a second."""
    program = Path(__file__).with_name("peer.py")
    command = [sys.executable, str(program), json.dumps(sizes), way, str(steps)]
    limit = min(150, trial.bauta.left() - 30)
    if limit < 20:
        raise Failed("no time left")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end within {limit:.0f} s") from None
    if done.returncode != 0:
        raise Failed((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])["images_per_second"]


def training(trial, speeds):
    """mae-cifar10-vit-tiny for the time left, evaluated as every run is."""
    root, parts = cifar10.prepare(trial.cifar10, trial.scratch)
    keep = 60
    rate = next((way["images_per_second"] for found in speeds for way in found.get("ways", [])
                 if found["model"] == TINY["name"] and way["way"] == "bauta"), 2000)
    epochs = int(0.6 * (trial.bauta.left() - keep) * rate / 50_000)
    if epochs < 1:
        raise Failed("no time left")
    epochs = min(epochs, 400)
    recipe = trial.bauta.root / "crates/experiments/recipes/mae-cifar10-vit-tiny.toml"
    keys = {"data.root": root, "train.device": trial.device, "train.precision": "bf16",
            "train.epochs": epochs, "train.warmup_epochs": epochs / 20}
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    folder = trial.bauta.train("cifar10", [recipe, *sets], limit=600)
    summary = json.loads((folder / "summary.json").read_text())
    shutil.copy(folder / "report.html", trial.out / "cifar10-report.html")
    return {"parts": parts, "epochs": epochs, "train": summary["train"],
            "eval": summary["eval"], "baseline": summary["baseline"]}


def check(holds, problem):
    """Fails a part."""
    if not holds:
        raise Failed(problem)


def main():
    parser = argparse.ArgumentParser(prog="benches/gpu/run")
    parser.add_argument("--root", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("gpu-record"), metavar="DIR")
    parser.add_argument("--binary", type=Path, metavar="FILE")
    parser.add_argument("--cifar10", type=Path, metavar="DIR", help="CIFAR-10, or parts of it")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    arguments.binary = (arguments.binary or arguments.root / "target/release/bauta").absolute()
    if not arguments.binary.is_file():
        parser.error(f"there is no {arguments.binary}; build it, or name it with --binary")
    arguments.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(arguments, Path(scratch))
        found = record.Record(arguments.out, arguments.dry_run)
        parts = {"twenty_steps": twenty_steps, "forward": forward, "resume": resume}
        found.part("machine", lambda: machine(trial))
        found.part("gpu", lambda: gpu(trial))
        if found.failed:
            # Nothing that follows could hold, and most of it takes minutes to fail.
            speeds = [f"speed {sizes['name']}" for sizes in trial.sizes]
            for name in [*parts, *speeds, "training"]:
                found.left_out(name, f"{' and '.join(found.failed)} failed")
        else:
            for name, part in parts.items():
                found.part(name, lambda: part(trial))
            speeds = []
            for sizes in trial.sizes:
                measured = found.part(f"speed {sizes['name']}", lambda: speed(trial, sizes))
                speeds.append(measured or {"model": sizes["name"]})
            if arguments.cifar10:
                found.part("training", lambda: training(trial, speeds))
            else:
                found.left_out("training", "no --cifar10 was given")
        found.end(time.monotonic() - start)
    print(found.markdown())
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
