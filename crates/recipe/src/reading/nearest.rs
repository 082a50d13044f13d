//! The known name that a mistyped one was probably meant to be.

use super::bounds::MOST_KEY;

/// Names that other programs of the field use for a key, a part of one, or a value, with the names
/// used here. If there are several, the first that is known counts.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("accum_iter", &["accumulate"]),
    ("accumulation_steps", &["accumulate"]),
    ("amp", &["precision", "bf16"]),
    ("autocast", &["precision", "bf16"]),
    ("bfloat16", &["bf16"]),
    ("blocks", &["depth"]),
    ("blockwise", &["block"]),
    ("bs", &["batch_size"]),
    ("class_token", &["cls"]),
    ("clip", &["clip_grad"]),
    ("cls_token", &["cls"]),
    ("coco2017", &["coco"]),
    ("cuda:0", &["cuda"]),
    ("data_path", &["data.root"]),
    ("dataset", &["data.name"]),
    ("directory", &["data.root", "folder"]),
    ("dtype", &["precision"]),
    ("ema_decay", &["ema"]),
    ("embed_dim", &["dim"]),
    ("epochs_warmup", &["warmup_epochs"]),
    ("fashion_mnist", &["fashion-mnist"]),
    ("float16", &["bf16"]),
    ("float32", &["fp32"]),
    ("fp16", &["bf16"]),
    ("gpu", &["cuda", "train.device"]),
    ("grad_accum", &["accumulate"]),
    ("grad_clip", &["clip_grad"]),
    ("gradient_accumulation_steps", &["accumulate"]),
    ("gradient_clip_val", &["clip_grad"]),
    ("half", &["bf16"]),
    ("hidden_dim", &["dim"]),
    ("hidden_size", &["dim"]),
    ("image_folder", &["folder"]),
    ("imagefolder", &["folder"]),
    ("imagenet", &["folder"]),
    ("imagenet1k", &["folder"]),
    ("imagenet_1k", &["folder"]),
    ("img_size", &["image_size"]),
    ("initial_lr", &["base_lr"]),
    ("input_size", &["image_size"]),
    ("intermediate_size", &["mlp_ratio"]),
    ("jobs", &["threads"]),
    ("layer_scale_init_value", &["layer_scale"]),
    ("layers", &["depth"]),
    ("learning_rate", &["base_lr"]),
    ("linear_probe", &["linear"]),
    ("log_interval", &["log_every"]),
    ("lr", &["base_lr"]),
    ("lr_scheduler", &["schedule"]),
    ("mask_ratio", &["mask.ratio"]),
    ("masking_ratio", &["mask.ratio"]),
    ("max_epochs", &["epochs"]),
    ("max_grad_norm", &["clip_grad"]),
    ("mean_squared_error", &["mse"]),
    ("multistep", &["steps"]),
    ("norm_pix_loss", &["target.kind"]),
    ("num_attention_heads", &["heads"]),
    ("num_epochs", &["epochs"]),
    ("num_heads", &["heads"]),
    ("num_hidden_layers", &["depth"]),
    ("num_layers", &["depth"]),
    ("num_neighbors", &["k"]),
    ("num_workers", &["threads"]),
    ("opt", &["optimizer"]),
    ("optim", &["optimizer"]),
    ("path", &["root"]),
    ("random_seed", &["seed"]),
    ("resolution", &["image_size"]),
    ("save_every", &["checkpoint_every"]),
    ("save_interval", &["checkpoint_every"]),
    ("save_steps", &["checkpoint_every"]),
    ("scheduler", &["schedule"]),
    ("step", &["steps"]),
    ("tar", &["shards"]),
    ("uniform", &["random"]),
    ("warmup", &["warmup_epochs"]),
    ("wd", &["weight_decay"]),
    ("webdataset", &["shards"]),
    ("width", &["dim"]),
    ("workers", &["threads"]),
];

/// The candidate most like `name`, the first of equals; `None` for a name longer than any key.
///
/// A dotted key is compared as a whole and by its last part, so that `epochs` finds `train.epochs`.
/// A name that other programs of the field use (`lr`, `gpu`) finds the name used here.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MOST_KEY {
        return None;
    }
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(meant) = synonym(name, &candidates) {
        return Some(meant);
    }
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let whole = strsim::normalized_damerau_levenshtein(name, candidate);
        let last = strsim::normalized_damerau_levenshtein(last_part(name), last_part(candidate));
        let likeness = whole.max(0.8 * last);
        if best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The candidate of which the name's last part is a synonym, if possible in the same table.
fn synonym<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    let (_, meanings) = SYNONYMS.iter().find(|(other, _)| *other == last_part(&name))?;
    let table = &name[..name.len() - last_part(&name).len()];
    let find = |wanted: &str| candidates.iter().copied().find(|candidate| *candidate == wanted);
    let anywhere = |meaning: &str| {
        candidates.iter().copied().find(|candidate| last_part(candidate) == meaning)
    };
    let same_table = |meaning: &str| find(&format!("{table}{meaning}"));
    meanings.iter().find_map(|&meaning| {
        find(meaning).or_else(|| same_table(meaning)).or_else(|| anywhere(meaning))
    })
}

fn last_part(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}

#[cfg(test)]
mod tests {
    use super::{SYNONYMS, nearest};

    #[test]
    fn finds_typing_errors_and_forgotten_tables() {
        let keys = ["seed", "mask.ratio", "mask.strategy", "train.epochs", "eval.linear.epochs"];
        for (typed, meant) in [
            ("mask.ration", "mask.ratio"),
            ("msak.ratio", "mask.ratio"),
            ("mask_ratio", "mask.ratio"),
            ("epochs", "train.epochs"),
            ("train.epcohs", "train.epochs"),
            ("sede", "seed"),
        ] {
            assert_eq!(nearest(typed, keys), Some(meant), "{typed}");
        }
        assert_eq!(nearest("anything", []), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), keys), None);
    }

    #[test]
    fn synonyms_are_found_in_their_own_table_first() {
        let keys = ["train.min_lr", "train.base_lr", "eval.linear.base_lr", "model.dim"];
        for (typed, meant) in [
            ("train.lr", "train.base_lr"),
            ("eval.linear.lr", "eval.linear.base_lr"),
            ("Learning-Rate", "train.base_lr"),
            ("model.embed_dim", "model.dim"),
            ("hidden_size", "model.dim"),
        ] {
            assert_eq!(nearest(typed, keys), Some(meant), "{typed}");
        }
        assert_eq!(nearest("gpu", ["auto", "cpu", "cuda"]), Some("cuda"));
        // Without a known synonym, similarity decides.
        assert_eq!(nearest("lr", ["lars", "sgd"]), Some("lars"));
    }

    #[test]
    fn synonyms_are_sorted_and_each_stands_once() {
        assert!(SYNONYMS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
