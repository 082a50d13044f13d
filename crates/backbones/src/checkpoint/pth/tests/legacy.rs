//! The format before zip archives, honest (`fixtures/pth.py`) and hostile.

use super::*;
use crate::checkpoint::pth::legacy::MAGIC;

const LEGACY: [&str; 4] = ["legacy_layouts", "legacy_dtypes", "legacy_module", "legacy_command"];

/// What PyTorch writes on a little-endian machine, without the sizes of C's types.
const MACHINE: &[u8] = b"}X\x0d\x00\x00\x00little_endian\x88s";

fn pickle(object: &[u8]) -> Vec<u8> {
    [b"\x80\x02", object, b"."].concat()
}

/// A file with these pickles, followed by `numbers`.
fn assemble(
    version: &[u8],
    machine: &[u8],
    object: &[u8],
    keys: &[&str],
    numbers: &[u8],
) -> Vec<u8> {
    let keys = [b"](".to_vec(), keys.iter().flat_map(|key| text(key)).collect(), b"e".to_vec()];
    let pickles = [version, machine, object, &keys.concat()].map(pickle);
    [MAGIC, &pickles.concat(), numbers].concat()
}

/// A file with this object, and storages with these keys, counts and floats.
fn legacy(object: &[u8], storages: &[(&str, i64, &[f32])]) -> Vec<u8> {
    let keys: Vec<&str> = storages.iter().map(|(key, ..)| *key).collect();
    let rows = storages.iter().map(|(_, count, floats)| {
        let floats: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
        [count.to_le_bytes().to_vec(), floats].concat()
    });
    assemble(&int(1001), MACHINE, object, &keys, &rows.collect::<Vec<_>>().concat())
}

/// A storage's name in this format, which ends with a description of its view.
fn viewed(kind: &str, key: &str, numel: i64, view: &[u8]) -> Vec<u8> {
    let mut name = storage(kind, key, numel);
    name.truncate(name.len() - b"tQ".len());
    [name.as_slice(), view, b"tQ"].concat()
}

/// A dict with one tensor of floats, `w`.
fn object(key: &str, numel: i64, view: Sides<'_>) -> Vec<u8> {
    dict(&[("w", tensor(&viewed("FloatStorage", key, numel, b"N"), view))])
}

/// A file whose object claims a storage, and whose storage "0" has this count and the numbers 0, 1,
/// 2, 3.
fn claimed(key: &str, numel: i64, count: i64) -> String {
    let object = object(key, numel, (0, &[2], &[1]));
    refuse(&legacy(&object, &[("0", count, &[0.0, 1.0, 2.0, 3.0])]))
}

#[test]
fn both_formats_hold_the_same() {
    for name in ["layouts", "dtypes"] {
        let (new, old) = (read_pth(&fixture(name)), read_pth(&fixture(&format!("legacy_{name}"))));
        let (new, old) = (new.unwrap(), old.unwrap());
        assert_eq!(new.len(), old.len());
        for (name, tensor) in &new {
            assert_eq!(old[name].kind(), tensor.kind());
            assert_eq!(numbers(&old[name]), numbers(tensor), "{name}");
        }
    }
}

#[test]
fn tensors_of_other_strides_come_out_contiguous() {
    let module = read_pth(&fixture("legacy_module")).unwrap();
    assert_eq!(module.len(), 4);
    // In the file they are in the order row, column, input, output.
    let place = |[o, i, y, x]: [usize; 4]| (o + 3 * i + 6 * x + 12 * y) as f64;
    let expected: Vec<f64> = (0..24).map(|n| place([n / 8, n / 4 % 2, n / 2 % 2, n % 2])).collect();
    assert_eq!(numbers(&module["conv.weight"]), (vec![3, 2, 2, 2], expected));
    let expected = vec![40.0, 42.0, 44.0, 41.0, 43.0, 45.0];
    assert_eq!(numbers(&module["fc.weight"]), (vec![2, 3], expected));
    assert_eq!(numbers(&module["fc.bias"]), (vec![2], vec![50.0, 51.0]));
}

#[test]
fn storages_may_come_in_any_order_and_be_shared() {
    let w = |key: &str, offset| tensor(&viewed("FloatStorage", key, 3, b"N"), (offset, &[2], &[1]));
    let object = dict(&[("a", w("x", 0)), ("b", w("y", 1)), ("c", w("x", 1))]);
    let storages = [("y", 3, [3.0, 4.0, 5.0].as_slice()), ("x", 3, &[0.0, 1.0, 2.0])];
    let tensors = read(Cursor::new(legacy(&object, &storages))).unwrap();
    for (name, expected) in [("a", [0.0, 1.0]), ("b", [4.0, 5.0]), ("c", [1.0, 2.0])] {
        assert_eq!(numbers(&tensors[name]), (vec![2], expected.to_vec()));
    }
}

#[test]
fn code_is_named_and_never_run() {
    let reason = refuse(&bytes("legacy_command"));
    assert!(reason.starts_with("the object, byte ") && reason.contains("`posix.system`"));
    assert!(!std::path::Path::new("executed.txt").exists());
}

#[test]
fn no_beginning_of_a_file_is_read() {
    for name in LEGACY {
        let whole = bytes(name);
        for length in 0..whole.len() {
            let reason = refuse(&whole[..length]);
            assert!(!reason.contains('\n'), "{length}: {reason}");
        }
    }
    let reason = refuse(&bytes("legacy_layouts")[..1290]);
    assert!(reason.contains("bytes are left of the file"), "{reason}");
}

#[test]
fn lying_storages_are_refused() {
    assert!(claimed("0", 4, 3).contains("storage 0 has 3 numbers, but 4 are declared"));
    assert!(claimed("0", 4, i64::MAX).contains("but 4 are declared"));
    assert!(claimed("0", 5, 5).contains("has 5 numbers, but 16 bytes are left of the file"));
    assert!(claimed("0", i64::MAX, i64::MAX).contains("16 bytes are left of the file"));
    assert!(claimed("0", -4, -4).contains("-4 numbers"));
    assert!(claimed("7", 4, 4).contains("storage 0 belongs to no tensor"));
    let w = object("0", 4, (0, &[2], &[1]));
    assert!(refuse(&legacy(&w, &[])).starts_with("w: storage 0 is not in the file"));
    let row = ("0", 4, [0.0; 4].as_slice());
    assert!(refuse(&legacy(&w, &[row, row])).contains("storage 0 occurs twice"));
    let float = |kind| tensor(&viewed(kind, "0", 4, b"N"), (0, &[2], &[1]));
    let two = dict(&[("a", float("FloatStorage")), ("b", float("IntStorage"))]);
    assert!(refuse(&legacy(&two, &[row])).contains("storage 0 has two types or lengths"));
    let part = [b"(".as_slice(), &text("1"), &int(0), &int(4), b"t"].concat();
    let part = tensor(&viewed("FloatStorage", "0", 4, &part), (0, &[2], &[1]));
    assert!(refuse(&legacy(&dict(&[("a", part)]), &[row])).contains("is part of another"));
}

#[test]
fn lying_views_are_refused() {
    let row = ("0", 4, [0.0, 1.0, 2.0, 3.0].as_slice());
    let one = |view| legacy(&object("0", 4, view), &[row]);
    let cases: [Sides<'_>; 5] = [
        (0, &[5], &[1]),
        (1, &[2, 2], &[2, 1]),
        (-1, &[1], &[1]),
        (3, &[2], &[-1]),
        (0, &[2], &[i64::MAX]),
    ];
    for view in cases {
        let reason = refuse(&one(view));
        assert!(
            reason.starts_with("w: ") && reason.contains("reach outside"),
            "{view:?}: {reason}"
        );
    }
    assert!(refuse(&one((0, &[1 << 40], &[0]))).contains("more than 8 times the file"));
    let column = read(Cursor::new(one((1, &[2], &[2])))).unwrap();
    assert_eq!(numbers(&column["w"]), (vec![2], vec![1.0, 3.0]));
}

#[test]
fn other_headers_are_refused() {
    let w = object("0", 4, (0, &[2], &[1]));
    let file = |version: &[u8], machine: &[u8]| refuse(&assemble(version, machine, &w, &[], b""));
    assert!(file(&int(1002), MACHINE).contains("version is 1002, but only 1001"));
    assert!(file(b"}", MACHINE).contains("version is a dict"));
    let big = [&MACHINE[..MACHINE.len() - 2], b"\x89s"].concat();
    assert!(file(&int(1001), &big).contains("big-endian"));
    assert!(file(&int(1001), b"}").contains("byte order"));
    let keyless = [int(1001), MACHINE.to_vec(), w.clone(), b"N".to_vec()];
    let keyless = [MAGIC.to_vec(), keyless.map(|object| pickle(&object)).concat()].concat();
    assert!(refuse(&keyless).contains("no list of storages"));
    let numbered = [b"](".as_slice(), &int(3), b"e"].concat();
    let numbered = [int(1001), MACHINE.to_vec(), w, numbered].map(|object| pickle(&object));
    assert!(refuse(&[MAGIC, &numbered.concat()].concat()).contains("an integer is among the keys"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_mutation_of_a_file_panics(
        name in prop::sample::select(&LEGACY[..]),
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..8),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let _ = read(Cursor::new(mutated(bytes(name), &changes, cut)));
    }
}
