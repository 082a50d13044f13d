"""Whole training steps: u8 pixels on the host, normalise, mask, forward, backward, AdamW."""

import json
import time

import torch
from safetensors.torch import load_file

# The other side's loss of the same weights, pixels and noise: equal but for the order of sums.
TOLERANCE = 1e-4


def measure(arguments):
    """`variant` is the precision, `way` is eager or compile."""
    shared = arguments.shared
    setting = json.loads((shared / "setting.json").read_text())
    batches = load_file(shared / "pixels.safetensors")
    batches = [batches[str(i)] for i in range(len(batches))]
    model, unit = named(arguments.case)
    model = model(setting["model"], setting["mean"], setting["std"])
    model.load_state_dict(load_file(shared / "weights.safetensors"), strict=True)
    check(model, batches[0], load_file(shared / "noise.safetensors")["noise"], setting)

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": setting["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=setting["lr"], betas=setting["betas"], fused=True)
    run = torch.compile(model) if arguments.way == "compile" else model
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled=arguments.variant == "bf16")

    seconds, losses = [], []
    for step in range(setting["warm_up"] + arguments.steps):
        pixels = batches[step % len(batches)]
        start = time.perf_counter()
        with bf16:
            loss = run(pixels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - start)
        losses.append(loss.detach())
    seconds, losses = seconds[setting["warm_up"] :], losses[setting["warm_up"] :]
    ends = [losses[0].item(), losses[-1].item()]
    return {"seconds": seconds, "unit": unit, "items": len(batches[0]), "losses": ends}


def named(case):
    """The model of a case, and what it is fed with."""
    if case == "mae-st-small":
        from mae_st import MaeSt

        return MaeSt, "clips"
    from mae import Mae

    return Mae, "images"


def check(model, pixels, noise, setting):
    """Refuses to compare two different computations."""
    with torch.no_grad():
        loss = model(pixels, noise).item()
    expected = setting["loss_of_noise"]
    if abs(loss / expected - 1) > TOLERANCE:
        raise SystemExit(f"the loss of the same weights and noise is {loss}, not {expected}")
