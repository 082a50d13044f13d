"""PyTorch's training steps of MAE on a GPU: `peer.py SIZES eager|compile STEPS`.

The model is the one that `cargo xtask bench peers` compares with on the CPU. Batches
wait on the host as bytes, as ours do.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "peers/theirs"))
from mae import Mae  # noqa: E402

WARM_UP = 8


def main():
    sizes, way, steps = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    config = {
        "image_size": sizes["image"], "patch_size": sizes["patch"], "num_channels": 3,
        "hidden_size": sizes["dim"], "num_hidden_layers": sizes["depth"],
        "num_attention_heads": sizes["heads"], "intermediate_size": 4 * sizes["dim"],
        "decoder_hidden_size": sizes["decoder_dim"],
        "decoder_num_hidden_layers": sizes["decoder_depth"],
        "decoder_num_attention_heads": sizes["decoder_heads"],
        "decoder_intermediate_size": 4 * sizes["decoder_dim"], "mask_ratio": 0.75,
        "norm_pix_loss": True, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True,
    }
    torch.manual_seed(0)
    model = Mae(config, [0.5] * 3, [0.25] * 3).cuda()
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    run = torch.compile(model) if way == "compile" else model
    shape = (sizes["batch"], 3, sizes["image"], sizes["image"])
    batches = [torch.randint(256, shape, dtype=torch.uint8).pin_memory() for _ in range(4)]
    seconds = []
    for step in range(WARM_UP + steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        pixels = batches[step % len(batches)].cuda(non_blocking=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = run(pixels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds[WARM_UP:])[steps // 2]
    print(json.dumps({"images_per_second": sizes["batch"] / median, "loss": loss.item()}))


if __name__ == "__main__":
    main()
