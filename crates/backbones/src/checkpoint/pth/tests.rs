//! Checkpoints written by PyTorch (`fixtures/pth.py`), and hostile ones derived from them.

mod legacy;

use std::io::{Cursor, Write};
use std::path::PathBuf;

use proptest::prelude::*;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::*;

const FIXTURES: [&str; 7] =
    ["layouts", "dtypes", "module", "training", "namespace", "command", "complex"];

fn fixture(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    PathBuf::from(folder).join(format!("{name}.pth"))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn refuse(file: &[u8]) -> String {
    read(Cursor::new(file)).unwrap_err()
}

/// The shape and the numbers, in order.
fn numbers(tensor: &Tensor) -> (Vec<i64>, Vec<f64>) {
    assert!(tensor.is_contiguous());
    assert_eq!(tensor.device(), Device::Cpu);
    let flat = tensor.to_kind(Kind::Double).view(-1);
    (tensor.size(), Vec::try_from(flat).unwrap())
}

/// An archive of these entries in the folder `x`, as PyTorch writes it.
fn archive(entries: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(format!("x/{name}"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn stored(entries: &[(&str, &[u8])]) -> Vec<u8> {
    archive(entries, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
}

/// A checkpoint with this pickle and storages of the floats 0 to 3 under the keys 0 and 1.
fn checkpoint(object: &[u8]) -> Vec<u8> {
    let floats: Vec<u8> = [0f32, 1.0, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let pickle = [b"\x80\x02", object, b"."].concat();
    stored(&[("data.pkl", &pickle), ("data/0", &floats), ("data/1", &floats)])
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = entries.iter().map(|(name, value)| [text(name), value.clone()].concat());
    [b"}(".to_vec(), items.collect::<Vec<_>>().concat(), b"u".to_vec()].concat()
}

type Sides<'a> = (i64, &'a [i64], &'a [i64]);

/// A tensor with this storage, offset, size and stride.
fn tensor(storage: &[u8], (offset, size, stride): Sides<'_>) -> Vec<u8> {
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    [function, storage, &int(offset), &ints(size), &ints(stride), b"\x89}tR"].concat()
}

fn storage(kind: &str, key: &str, numel: i64) -> Vec<u8> {
    let kind = format!("ctorch\n{kind}\n");
    let names = [text("storage"), kind.into_bytes(), text(key), text("cpu")].concat();
    [b"(", names.as_slice(), &int(numel), b"tQ"].concat()
}

/// A checkpoint with one tensor of floats, `w`.
fn one(key: &str, numel: i64, view: Sides<'_>) -> Vec<u8> {
    checkpoint(&dict(&[("w", tensor(&storage("FloatStorage", key, numel), view))]))
}

fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

fn int(int: i64) -> Vec<u8> {
    [b"\x8a\x08", int.to_le_bytes().as_slice()].concat()
}

fn ints(ints: &[i64]) -> Vec<u8> {
    let items: Vec<_> = ints.iter().map(|&item| int(item)).collect();
    [b"(", items.concat().as_slice(), b"t"].concat()
}

#[test]
fn every_layout_comes_out_contiguous() {
    let tensors = read_pth(&fixture("layouts")).unwrap();
    let expected: [(&str, &[i64], &[f64]); 10] = [
        ("contiguous", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("transposed", &[3, 2], &[10.0, 13.0, 11.0, 14.0, 12.0, 15.0]),
        ("slice", &[3], &[23.0, 25.0, 27.0]),
        ("column", &[3], &[31.0, 35.0, 39.0]),
        ("head", &[4], &[100.0, 101.0, 102.0, 103.0]),
        ("tail", &[2, 3], &[102.0, 103.0, 104.0, 105.0, 106.0, 107.0]),
        ("broadcast", &[2, 3], &[40.0, 41.0, 42.0, 40.0, 41.0, 42.0]),
        ("scalar", &[], &[7.0]),
        ("empty", &[0, 4], &[]),
        ("parameter", &[2, 2], &[50.0, 51.0, 52.0, 53.0]),
    ];
    assert_eq!(tensors.len(), expected.len());
    for (name, size, values) in expected {
        assert_eq!(numbers(&tensors[name]), (size.to_vec(), values.to_vec()), "{name}");
        assert_eq!(tensors[name].kind(), Kind::Float);
        assert!(!tensors[name].requires_grad());
    }
    // They shared a storage in the file, but not in memory.
    let _ = tensors["head"].shallow_clone().fill_(0.0);
    assert_eq!(numbers(&tensors["tail"]).1[0], 102.0);
}

#[test]
fn every_number_type_is_kept() {
    let tensors = read_pth(&fixture("dtypes")).unwrap();
    let expected = [
        ("float32", Kind::Float),
        ("float64", Kind::Double),
        ("float16", Kind::Half),
        ("bfloat16", Kind::BFloat16),
        ("int64", Kind::Int64),
        ("int32", Kind::Int),
        ("int16", Kind::Int16),
        ("int8", Kind::Int8),
        ("uint8", Kind::Uint8),
        ("bool", Kind::Bool),
    ];
    assert_eq!(tensors.len(), expected.len());
    for (name, kind) in expected {
        let values = if kind == Kind::Bool { [0.0, 1.0, 1.0, 1.0] } else { [0.0, 1.0, 2.0, 3.0] };
        assert_eq!(tensors[name].kind(), kind);
        assert_eq!(numbers(&tensors[name]), (vec![4], values.to_vec()), "{name}");
    }
}

#[test]
fn a_modules_state_and_a_training_state_are_read() {
    let module = read_pth(&fixture("module")).unwrap();
    assert_eq!(module.len(), 7);
    assert_eq!(numbers(&module["fc.weight"]), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    assert_eq!(numbers(&module["norm.bias"]), (vec![2], vec![30.0, 31.0]));
    assert_eq!(module["norm.num_batches_tracked"].kind(), Kind::Int64);
    let model = read_pth(&fixture("training")).unwrap();
    assert_eq!(model.len(), 2);
    assert_eq!(numbers(&model["weight"]), (vec![2, 2], vec![0.0, 1.0, 2.0, 3.0]));
    assert_eq!(numbers(&model["bias"]), (vec![2], vec![4.0, 5.0]));
}

#[test]
fn code_is_named_and_never_run() {
    let error = read_pth(&fixture("namespace")).unwrap_err();
    assert!(matches!(error, ModelError::Format { .. }));
    let text = error.to_string();
    assert!(text.contains("namespace.pth: data.pkl, byte "), "{text}");
    assert!(text.contains("`argparse.Namespace`") && text.contains("torch.save({k: v for"));
    assert!(refuse(&bytes("command")).contains("`posix.system`"));
    assert!(!std::path::Path::new("executed.txt").exists());
    assert!(
        refuse(&bytes("complex"))
            .contains("`torch.ComplexFloatStorage` is an unsupported number type")
    );
}

#[test]
fn the_remedy_is_one_that_applies() {
    let w = || tensor(&storage("FloatStorage", "0", 4), (0, &[4], &[1]));
    let object = b"cargparse\nNamespace\n)\x81".to_vec();
    let whole = refuse(&checkpoint(b"ctimm\nVisionTransformer\n)\x81"));
    assert!(whole.contains("torch.load(f, weights_only=False).state_dict(), out)"), "{whole}");
    let inner = || dict(&[("w", w())]);
    let behind = dict(&[("net", inner()), ("args", object.clone())]);
    assert!(refuse(&checkpoint(&behind)).contains("weights_only=False)[\"net\"].items()}, out)"));
    for unknown in [
        dict(&[("args", object.clone()), ("net", inner())]),
        dict(&[("model", object.clone())]),
        dict(&[("state", dict(&[("net", inner()), ("args", object.clone())]))]),
        dict(&[("w", w()), ("args", object)]),
    ] {
        let unknown = refuse(&checkpoint(&unknown));
        assert!(unknown.contains("torch.save only the dict of its tensors"), "{unknown}");
    }
}

#[test]
fn two_checkpoints_in_one_file_are_refused() {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for root in ["a", "b"] {
        writer.start_file(format!("{root}/data.pkl"), options).unwrap();
        writer.write_all(b"\x80\x02}.").unwrap();
    }
    let refused = refuse(&writer.finish().unwrap().into_inner());
    assert!(refused.starts_with("it holds two checkpoints, in `a` and `b`"), "{refused}");
}

#[test]
fn the_dict_that_is_meant_is_found() {
    let w = || tensor(&storage("FloatStorage", "0", 4), (0, &[4], &[1]));
    let load = |entries: &[(&str, Vec<u8>)]| read(Cursor::new(checkpoint(&dict(entries))));
    let names = |entries: &[(&str, Vec<u8>)]| -> Vec<String> {
        load(entries).unwrap().into_keys().collect()
    };
    let inner = |name: &str| dict(&[(name, w())]);
    assert_eq!(names(&[("w", w())]), ["w"]);
    assert_eq!(names(&[("teacher", inner("w")), ("epoch", int(3))]), ["w"]);
    assert_eq!(names(&[("state_dict", inner("b")), ("model", inner("a"))]), ["a"]);
    assert_eq!(names(&[("teacher", inner("a")), ("state_dict", inner("b"))]), ["b"]);
    let several = load(&[("teacher", inner("a")), ("student", inner("b"))]).unwrap_err();
    assert!(several.starts_with("teacher, student all hold tensors"));
    assert!(several.ends_with("torch.save(torch.load(f)[\"teacher\"], out)"), "{several}");
    assert!(load(&[("epoch", int(3))]).unwrap_err().contains("no tensors"));
    assert!(refuse(&checkpoint(b"]")).starts_with("it holds a list"));
    let mixed = dict(&[("w", w()), ("epoch", int(3))]);
    let mixed = load(&[("model", mixed)]).unwrap_err();
    assert!(mixed.starts_with("epoch is an integer, not a tensor"), "{mixed}");
    let numbered = [b"}".to_vec(), int(3), w(), b"s".to_vec()].concat();
    assert!(refuse(&checkpoint(&numbered)).starts_with("3 is the key of a tensor"));
}

#[test]
fn lying_views_are_refused() {
    let most = i64::MAX;
    let long = [1; 65];
    let cases: [(Sides<'_>, &str); 13] = [
        ((0, &[5], &[1]), "reach outside"),
        ((1, &[4], &[1]), "reach outside"),
        ((0, &[2, 2], &[3, 1]), "reach outside"),
        ((4, &[], &[]), "reach outside"),
        ((-1, &[1], &[1]), "reach outside"),
        ((0, &[-1], &[1]), "reach outside"),
        ((3, &[2], &[-1]), "reach outside"),
        ((most, &[2], &[1]), "reach outside"),
        ((0, &[2], &[most]), "reach outside"),
        ((0, &[most, 3, 0], &[0, 0, 0]), "reach outside"),
        ((0, &[1 << 40], &[0]), "more than 8 times the file"),
        ((0, &[2, 2], &[1]), "2 dimensions and 1 strides"),
        ((0, &long, &long), "65 dimensions and 65 strides"),
    ];
    for (view, expected) in cases {
        let reason = refuse(&one("0", 4, view));
        assert!(reason.starts_with("w: ") && reason.contains(expected), "{view:?}: {reason}");
    }
    let within = read(Cursor::new(one("0", 4, (1, &[2, 2], &[1, 1])))).unwrap();
    assert_eq!(numbers(&within["w"]), (vec![2, 2], vec![1.0, 2.0, 2.0, 3.0]));
    let nothing = read(Cursor::new(one("0", 4, (most, &[0], &[most])))).unwrap();
    assert_eq!(nothing["w"].size(), [0]);
}

#[test]
fn lying_storages_are_refused() {
    let one_of = |key, numel| refuse(&one(key, numel, (0, &[2], &[1])));
    assert!(one_of("0", 3).contains("x/data/0 has 16 bytes; 12..=12 are allowed"));
    assert!(one_of("0", 5).contains("x/data/0 has 16 bytes; 20..=20 are allowed"));
    assert!(one_of("0", i64::MAX).contains("more than 8 times the file"));
    assert!(one_of("0", 1 << 61).contains("more than 8 times the file"));
    assert!(one_of("0", -4).contains("reach outside"));
    assert!(one_of("7", 4).contains("x/data/7 cannot be read"));
    assert!(one_of("../data.pkl", 4).contains("cannot be read"));
}

#[test]
fn bytes_that_are_no_bool_become_true() {
    let view = (0, [16].as_slice(), [1].as_slice());
    let object = dict(&[("w", tensor(&storage("BoolStorage", "0", 16), view))]);
    let tensors = read(Cursor::new(checkpoint(&object))).unwrap();
    // The bytes of 1.0, 2.0 and 3.0 end in [0x80, 0x3f], [0x40] and [0x40, 0x40].
    assert_eq!(numbers(&tensors["w"]).1.iter().sum::<f64>(), 5.0);
}

#[test]
fn broken_pickles_are_refused_where_they_break() {
    let cases: [(&[u8], &str); 16] = [
        (b"", "byte 2: the stack is empty"),
        (b"(", "byte 3: the stack is empty"),
        (b"N(\x85", "byte 4: the stack is empty"),
        (b"t", "byte 2: no mark is set"),
        (b"q\x00", "byte 2: the stack is empty"),
        (b"Nq\x01q\x01", "byte 5: memo 1 is written twice"),
        (b"h\x07", "byte 2: memo 7 was never written"),
        (b"X\xff\xff\xff\xff", "byte 2: it ends too early"),
        (b"X\x01\x00\x00\x00\xff", "byte 2: a string is not UTF-8"),
        (b"ctorch\nFloatStorage", "byte 2: a line has no end"),
        (b"}(Nu", "byte 5: a key has no value"),
        (b"NNNs", "byte 5: sets an item of something that is not a dict"),
        (b"N\x81", "byte 3: operation 0x81 is unknown"),
        (b"N)R", "byte 4: calls something that is not a function"),
        (b"NQ", "byte 3: a storage's name is not a tuple"),
        (b"cbuiltins\neval\n", "byte 2: `builtins.eval` is neither"),
    ];
    for (object, expected) in cases {
        let reason = refuse(&checkpoint(object));
        assert!(reason.contains(expected), "{expected:?} is not in {reason:?}");
    }
    assert!(refuse(&stored(&[("data.pkl", b"\x80\x05N.")])).contains("`pickle_protocol`"));
}

#[test]
fn deep_and_tangled_pickles_take_little() {
    let deep = [b")".as_slice(), &b"\x85".repeat(1_000_000)].concat();
    assert!(refuse(&checkpoint(&deep)).starts_with("it holds a tuple"));
    // Each tuple contains the one before it twice: 2^100 leaves, if they were expanded.
    let doubling = (0..100u8).flat_map(|slot| [b'q', slot, b'h', slot, b'\x86']);
    let bomb: Vec<u8> = std::iter::once(b')').chain(doubling).collect();
    assert!(refuse(&checkpoint(&bomb)).starts_with("it holds a tuple"));
    // A dict whose 100,000 values are all the same dict, which has 100,000 values itself.
    let values = b"NN".repeat(100_000);
    let square = [b"}(", values.as_slice(), b"uq\x00}(", &b"Nh\x00".repeat(100_000), b"u"].concat();
    assert!(refuse(&checkpoint(&square)).contains("no tensors"));
    // A dict inside itself.
    assert!(refuse(&checkpoint(b"}q\x00Nh\x00s")).contains("no tensors"));
    let long = vec![b'N'; LONGEST_PICKLE as usize + 1];
    assert!(refuse(&checkpoint(&long)).contains("are allowed"));
}

#[test]
fn other_files_are_told_apart() {
    let whole = bytes("layouts");
    assert!(refuse(&whole[..whole.len() - 30]).contains("truncated or damaged"));
    assert!(refuse(b"\x80\x02}.").contains("not one that torch.save wrote"));
    assert!(refuse(b"").contains("not a PyTorch checkpoint"));
    assert!(refuse(&stored(&[("weights.npy", b"")])).contains("without data.pkl"));
    let big = stored(&[("data.pkl", b"\x80\x02}."), ("byteorder", b"big")]);
    assert!(refuse(&big).contains("big-endian"));
    let zeros = vec![0; 1 << 20];
    let squeezed = archive(&[("data.pkl", &zeros)], SimpleFileOptions::default());
    assert!(refuse(&squeezed).contains("compressed"));
    let absent = read_pth(&fixture("absent")).unwrap_err();
    assert!(matches!(absent, ModelError::Io { .. }));
}

/// The bytes with some of them overwritten, and truncated at `cut`.
fn mutated(
    mut bytes: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) -> Vec<u8> {
    for (place, byte) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_mutation_of_a_file_panics(
        name in prop::sample::select(&FIXTURES[..]),
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..8),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let _ = read(Cursor::new(mutated(bytes(name), &changes, cut)));
    }

    // In a zip archive, checksums stop most mutations early; here they are correct.
    #[test]
    fn no_mutation_of_a_pickle_panics(
        name in prop::sample::select(&FIXTURES[..4]),
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let mut archive = Archive::open(Cursor::new(bytes(name))).unwrap();
        let mut entries = Vec::new();
        for entry in ["data.pkl", "data/0", "data/1", "data/2", "data/3", "data/4"] {
            entries.extend(archive.entry(entry, 0..=10_000).map(|bytes| (entry, bytes)));
        }
        entries[0].1 = mutated(std::mem::take(&mut entries[0].1), &changes, None);
        let entries: Vec<_> = entries.iter().map(|(n, bytes)| (*n, bytes.as_slice())).collect();
        let _ = read(Cursor::new(stored(&entries)));
    }
}
