//! Comparison with the Python package `tokenizers` on texts of
//! `tests/fixtures/word_pieces/cases.py`.

use super::*;

#[derive(serde::Deserialize)]
struct Cases {
    texts: Vec<String>,
    pieces: Vec<Vec<String>>,
    bare_12: Vec<Vec<u32>>,
    special_12: Vec<Vec<u32>>,
    bare_64: Vec<Vec<u32>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/word_pieces").join(name)
}

fn cases() -> Cases {
    serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap()
}

#[test]
fn ids_are_those_of_the_python_package() {
    let cases = cases();
    let texts: Vec<&str> = cases.texts.iter().map(String::as_str).collect();
    for file in ["vocab.txt", "tokenizer.json"] {
        let pieces = WordPieces::open(&fixture(file)).unwrap();
        let wanted = [
            (&cases.bare_12, 12, Ends::Bare),
            (&cases.special_12, 12, Ends::Special),
            (&cases.bare_64, 64, Ends::Bare),
        ];
        for (ids, length, ends) in wanted {
            let encoded = pieces.encode_all(&texts, length, ends).unwrap();
            assert_eq!(encoded.len(), texts.len());
            for ((encoded, ids), text) in encoded.iter().zip(ids).zip(&texts) {
                assert_eq!(encoded.ids, *ids, "{file}, {length}, {ends:?}: {text:?}");
                assert_eq!(pieces.encode(text, length, ends).unwrap(), *encoded);
            }
        }
    }
}

#[test]
fn lengths_say_what_was_used_and_what_was_cut() {
    let cases = cases();
    let pieces = WordPieces::open(&fixture("vocab.txt")).unwrap();
    for (text, wanted) in cases.texts.iter().zip(&cases.pieces) {
        let encoded = pieces.encode(text, 12, Ends::Bare).unwrap();
        assert_eq!(encoded.used, wanted.len().min(12), "{text:?}");
        assert_eq!(encoded.cut, wanted.len().saturating_sub(12), "{text:?}");
        let found: Vec<String> =
            encoded.ids[..encoded.used].iter().map(|&id| pieces.piece(id).unwrap()).collect();
        assert_eq!(found, wanted[..encoded.used], "{text:?}");
        let around = pieces.encode(text, 12, Ends::Special).unwrap();
        assert_eq!(around.used, (wanted.len() + 2).min(12), "{text:?}");
        assert_eq!(around.cut, wanted.len().saturating_sub(10), "{text:?}");
    }
    let error = pieces.encode("a", 2, Ends::Special).unwrap_err().to_string();
    assert!(error.contains("length = 2") && error.contains("above 2"), "{error}");
    assert!(pieces.encode("a", 0, Ends::Bare).is_err());
}

#[test]
fn a_vocabulary_knows_its_special_pieces() {
    let pieces = WordPieces::open(&fixture("vocab.txt")).unwrap();
    assert_eq!((pieces.pad_id(), pieces.mask_id()), (0, Some(4)));
    assert_eq!(pieces.id("[CLS]"), Some(2));
    assert_eq!(pieces.piece(3).as_deref(), Some("[SEP]"));
    assert_eq!(pieces.piece(1 << 20), None);
    let lines = std::fs::read_to_string(fixture("vocab.txt")).unwrap().lines().count();
    assert_eq!(pieces.size(), lines);
    let folder = WordPieces::open(&fixture("")).unwrap();
    assert_eq!(folder.path(), fixture("tokenizer.json"));
}

#[test]
fn bad_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let json = std::fs::read_to_string(fixture("tokenizer.json")).unwrap();
    let unpadded = json.replace("[PAD]", "[NOTHING]");
    let cases: [(&str, &[u8], &str); 8] = [
        ("unpadded.txt", b"[UNK]\n[CLS]\n[SEP]\na\n", "no token for padding"),
        ("unknown.txt", b"[PAD]\n[CLS]\n[SEP]\na\n", "has no piece [UNK]"),
        ("ends.txt", b"[PAD]\n[UNK]\na\n", "has no piece [CLS]"),
        ("empty.txt", b"", "has no piece [UNK]"),
        ("twice.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na\n", "line 6 repeats the piece of line 5"),
        ("latin.txt", b"[PAD]\n\xe9\n", "is not UTF-8"),
        ("broken.json", b"{\"model\":", "is not a tokenizer.json"),
        ("gap.txt", b"[PAD]\n\n[UNK]\n", "line 2 is empty"),
    ];
    for (name, bytes, problem) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = WordPieces::open(&path).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(problem), "{name}: {error}");
    }
    let path = folder.path().join("unpadded.json");
    // Its padding section names a token that its vocabulary lacks as well.
    std::fs::write(&path, unpadded.replace("\"pad_token\": \"[NOTHING]\"", "\"pad_token\": \"x\""))
        .unwrap();
    let error = WordPieces::open(&path).unwrap_err().to_string();
    assert!(error.contains("unpadded.json") && error.contains("for padding"), "{error}");
    let none = tempfile::tempdir().unwrap();
    let error = WordPieces::open(none.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json or vocab.txt"), "{error}");
    assert!(WordPieces::open(&folder.path().join("absent.json")).is_err());
}
