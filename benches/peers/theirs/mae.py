"""MAE as one writes it in PyTorch today: timm's blocks, the reference's masking.

After facebookresearch/mae, models_mae.py (He et al., arXiv 2111.06377), with
timm's present `Block`, whose attention is one qkv product and the fused
`scaled_dot_product_attention`. Parameters have the reference's names, so the
other side's weights load as they are.
"""

from functools import partial

import torch
from torch import nn

try:
    from timm.layers import PatchEmbed
    from timm.models.vision_transformer import Block
except ImportError:
    from blocks import Block, PatchEmbed


class Mae(nn.Module):
    """From u8 pixels [B, C, H, W] to the loss on masked patches."""

    def __init__(self, config, mean, std):
        super().__init__()
        dim, decoder_dim = config["hidden_size"], config["decoder_hidden_size"]
        self.patch, self.ratio = config["patch_size"], config["mask_ratio"]
        channels = config["num_channels"]
        assert config["norm_pix_loss"] and config["hidden_act"] == "gelu"

        norm = partial(nn.LayerNorm, eps=config["layer_norm_eps"])
        options = {"qkv_bias": config["qkv_bias"], "norm_layer": norm}
        self.patch_embed = PatchEmbed(config["image_size"], self.patch, channels, dim)
        tokens = self.patch_embed.num_patches
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, dim), requires_grad=False)
        ratio = config["intermediate_size"] / dim
        self.blocks = nn.ModuleList(
            Block(dim, config["num_attention_heads"], ratio, **options)
            for _ in range(config["num_hidden_layers"])
        )
        self.norm = norm(dim)

        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.decoder_pos_embed = nn.Parameter(
            torch.zeros(1, 1 + tokens, decoder_dim), requires_grad=False
        )
        ratio = config["decoder_intermediate_size"] / decoder_dim
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_dim, config["decoder_num_attention_heads"], ratio, **options)
            for _ in range(config["decoder_num_hidden_layers"])
        )
        self.decoder_norm = norm(decoder_dim)
        self.decoder_pred = nn.Linear(decoder_dim, self.patch**2 * channels)

        for name, values in [("mean", mean), ("std", std)]:
            values = 255 * torch.tensor(values).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels, noise=None):
        images = (pixels.float() - self.mean) / self.std
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        x, mask, ids_restore = self.random_masking(x, noise)
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([cls_token, x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)

        x = self.decoder_embed(x)
        tokens = mask.shape[1]
        mask_tokens = self.mask_token.expand(len(x), tokens + 1 - x.shape[1], -1)
        x_ = torch.cat([x[:, 1:], mask_tokens.to(x.dtype)], dim=1)
        x_ = torch.gather(x_, 1, ids_restore.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        x = torch.cat([x[:, :1], x_], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        prediction = self.decoder_pred(self.decoder_norm(x))[:, 1:]

        target = self.patchify(images)
        mean = target.mean(dim=-1, keepdim=True)
        var = target.var(dim=-1, keepdim=True)
        target = (target - mean) / (var + 1e-6) ** 0.5
        loss = ((prediction - target) ** 2).mean(dim=-1)
        return (loss * mask).sum() / mask.sum()

    def random_masking(self, x, noise):
        """The reference's: noise decides which tokens stay, and in what order."""
        batch, tokens, dim = x.shape
        keep = int(tokens * (1 - self.ratio))
        if noise is None:
            noise = torch.rand(batch, tokens, device=x.device)
        ids_shuffle = torch.argsort(noise, dim=1)
        ids_restore = torch.argsort(ids_shuffle, dim=1)
        ids_keep = ids_shuffle[:, :keep]
        x = torch.gather(x, 1, ids_keep.unsqueeze(-1).expand(-1, -1, dim))
        mask = torch.ones(batch, tokens, device=x.device)
        mask[:, :keep] = 0
        return x, torch.gather(mask, 1, ids_restore), ids_restore

    def patchify(self, images):
        batch, channels, height, width = images.shape
        h, w = height // self.patch, width // self.patch
        x = images.reshape(batch, channels, h, self.patch, w, self.patch)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, h * w, -1)
