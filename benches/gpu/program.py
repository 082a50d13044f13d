"""The program under test: how it is called, and what its run folders say."""

import json
import signal
import subprocess
import time


class Failed(Exception):
    """A check that does not hold, or a program that fails."""


class Bauta:
    """The release binary, with a folder for its runs and a time at which all must end."""

    def __init__(self, binary, root, scratch, deadline):
        self.binary, self.root = binary, root
        self.scratch, self.deadline = scratch, deadline

    def left(self):
        """Seconds until all must end."""
        return self.deadline - time.monotonic()

    def call(self, *arguments, limit=240):
        """Runs a subcommand to its end and gives what it prints."""
        command = [str(self.binary), *map(str, arguments)]
        limit = min(limit, self.left())
        if limit < 1:
            raise Failed("no time left")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"bauta {arguments[0]} did not end within {limit:.0f} s") from None
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Failed(f"bauta {arguments[0]}: {lines[-1]}")
        return done.stdout

    def recipe(self, sizes, pictures, device, **keys):
        """Arguments that name the synthetic recipe with these sizes and keys."""
        keys = {
            "data.root": pictures,
            "data.image_size": sizes["image"],
            "data.augment.crop": "none",
            "model.patch_size": sizes["patch"],
            "model.dim": sizes["dim"],
            "model.depth": sizes["depth"],
            "model.heads": sizes["heads"],
            "decoder.dim": sizes["decoder_dim"],
            "decoder.depth": sizes["decoder_depth"],
            "decoder.heads": sizes["decoder_heads"],
            "train.batch_size": sizes["batch"],
            "train.device": device,
            "eval.pictures.count": 0,
            **{key.replace("__", "."): value for key, value in keys.items()},
        }
        sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        return [self.root / "benches/peers/vit-small-224.toml", *sets]

    def train(self, name, recipe, *more, limit=240):
        """Trains a recipe in a folder of this name; gives the folder."""
        folder = self.scratch / name
        self.call("run", *recipe, "--out", folder, *more, limit=limit)
        return folder

    def kill_in_training(self, name, recipe):
        """Begins a run and kills it after its second checkpoint; gives the step it had."""
        folder = self.scratch / name
        command = [str(self.binary), "run", *map(str, recipe), "--out", str(folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        child = subprocess.Popen(command, **quiet)
        try:
            while child.poll() is None and self.left() > 1:
                steps = [int(at.name[5:]) for at in (folder / "checkpoints").glob("step-*")
                         if at.name[5:].isdigit()]
                if len(losses(folder)) >= 2 and steps:
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    return max(steps)
                time.sleep(0.002)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        raise Failed("the run ended before it could be killed")


def losses(folder):
    """Step to loss of a run's log, as far as it is written."""
    log = folder / "metrics.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return {record["step"]: record["loss"] for record in records}


def weights(folder):
    """The weights' file of a run's last checkpoint."""
    return folder / "checkpoints/last/model.safetensors"
