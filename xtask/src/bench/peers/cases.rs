//! The cases that are compared, their variants and the ways to do each in PyTorch.

use bauta_datasets::DatasetName;

/// Our way, in every case.
pub const OURS: &str = "bauta";

/// One comparison.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, here and in both programs.
    pub name: &'static str,
    /// What one timed call does.
    pub about: &'static str,
    /// The data set that it needs.
    pub data: Option<DatasetName>,
    /// Its variants, in the words of both programs; empty if they differ in threads only.
    variants: &'static [&'static str],
    /// PyTorch's ways.
    theirs: &'static [&'static str],
}

/// All cases.
pub const CASES: [Case; 10] = [
    Case {
        name: "vit-tiny-cifar10",
        about: "a training step of mae-cifar10-vit-tiny, 128 images of 32 pixels",
        data: Some(DatasetName::Cifar10),
        variants: &["fp32", "bf16"],
        theirs: &["eager", "compile"],
    },
    Case {
        name: "vit-small-224",
        about: "a training step of MAE with ViT-S/16, 32 images of 224 pixels",
        data: None,
        variants: &["fp32", "bf16"],
        theirs: &["eager", "compile"],
    },
    Case {
        name: "mae-st-small",
        about: "a training step of MAE-ST with ViT-S, 8 clips of 16 frames of 112 pixels",
        data: None,
        variants: &["fp32", "bf16"],
        theirs: &["eager", "compile"],
    },
    Case {
        name: "resnet18-cifar10",
        about: "a training step of moco-cifar10, two views of 128 images of 32 pixels",
        data: Some(DatasetName::Cifar10),
        variants: &["fp32", "bf16"],
        theirs: &["eager", "compile"],
    },
    Case {
        name: "optimizer",
        about: "an AdamW step over the tensors of ViT-B/16 and its decoder",
        data: None,
        variants: &["vit-base"],
        theirs: &["fused", "foreach"],
    },
    Case {
        name: "masks",
        about: "masks of 256 samples, drawn or of given noise, 75 % of 196 or 1,568 tokens",
        data: None,
        variants: &["draw-196", "noise-196", "draw-1568", "noise-1568"],
        theirs: &["argsort"],
    },
    Case {
        name: "loader",
        about: "JPEG files of 500 × 375 pixels (4:2:0) to u8 batches of 128 at 224 pixels",
        data: None,
        variants: &[],
        theirs: &["torchvision"],
    },
    Case {
        name: "views",
        about: "two views each of 32 images in memory, cropped and coloured as MoCo v2's, on one core",
        data: None,
        variants: &["32", "224"],
        theirs: &["torchvision"],
    },
    Case {
        name: "text",
        about: "20,000 documents of 130 words to tf-idf features, fitted and taken",
        data: None,
        variants: &[],
        theirs: &["scikit-learn"],
    },
    Case {
        name: "captions",
        about: "10,000 captions of 5 to 20 words to 64 ids each, by bert-base-uncased's rules",
        data: None,
        variants: &[],
        theirs: &["tokenizers"],
    },
];

/// One variant of a case; variants are measured one after the other.
#[derive(Debug, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Threads of both sides.
    pub threads: usize,
}

impl Case {
    /// The variants, on every core; those that differ in threads, on one and on every core.
    pub fn variants(&self) -> Vec<Variant> {
        let every = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.variants.is_empty() {
            let mut counts = vec![1, every];
            counts.dedup();
            let name = |threads| if threads == 1 { "1-thread" } else { "every-core" }.to_owned();
            return counts.into_iter().map(|n| Variant { name: name(n), threads: n }).collect();
        }
        let named = |&name: &&str| Variant { name: name.to_owned(), threads: every };
        self.variants.iter().map(named).collect()
    }

    /// The ways in the order of their turns: ours, then each of theirs.
    pub fn ways(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(OURS).chain(self.theirs.iter().copied())
    }
}
