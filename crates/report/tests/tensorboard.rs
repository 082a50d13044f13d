//! Event files, read back by this test's own reader and compared with TensorBoard's bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bauta_report::{EventLog, FeatureRecord, Record};

/// What `fixtures/event_files.py` wrote by TensorBoard's own code.
const REFERENCE: &[u8] = include_bytes!("fixtures/events.out.tfevents.1700000000.host");
const RAMP: &[u8] = include_bytes!("fixtures/ramp.png");

/// The reference's time.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)
}

/// A clock that was set back.
fn earlier() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(5)
}

/// The event files of a folder, in the order in which TensorBoard reads them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.to_string_lossy().contains("tfevents")).collect();
    files.sort();
    files
}

/// CRC-32C bit by bit, then masked.
fn checksum(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
    let crc =
        bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| shift(c)));
    let crc: u32 = !crc;
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// The payloads of whole records, and whether bytes are left over.
fn payloads(file: &[u8]) -> (Vec<&[u8]>, bool) {
    let u32_at =
        |place: usize| u32::from_le_bytes(file[place..place + 4].try_into().expect("its bytes"));
    let (mut payloads, mut place) = (Vec::new(), 0);
    while place + 12 <= file.len() {
        let length =
            u64::from_le_bytes(file[place..place + 8].try_into().expect("its bytes")) as usize;
        assert_eq!(u32_at(place + 8), checksum(&file[place..place + 8]));
        if place + 16 + length > file.len() {
            break;
        }
        let payload = &file[place + 12..place + 12 + length];
        assert_eq!(u32_at(place + 12 + length), checksum(payload));
        payloads.push(payload);
        place += 16 + length;
    }
    (payloads, place < file.len())
}

/// A number or the bytes of a field of a protobuf message.
#[derive(Debug, PartialEq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(message: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = message.split_first().expect("a byte");
        *message = rest;
        value |= u64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// The fields of a message by their numbers.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(varint(&mut message))));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(length);
        fields.push((key >> 3, Field::Bytes(value)));
        message = rest;
    }
    fields
}

/// The step of each event and the scalars that it holds.
fn scalars(file: &[u8]) -> Vec<(u64, BTreeMap<String, f32>)> {
    let scalar = |value: &[u8]| match fields(value)[..] {
        [(1, Field::Bytes(tag)), (2, Field::Bytes(scalar))] => {
            let tag = String::from_utf8(tag.to_vec()).expect("a tag");
            (tag, f32::from_le_bytes(scalar.try_into().expect("its bytes")))
        }
        ref other => panic!("no scalar: {other:?}"),
    };
    let event = |event: &&[u8]| {
        let (mut step, mut values) = (0, BTreeMap::new());
        for (field, value) in fields(event) {
            match (field, value) {
                (2, Field::Number(number)) => step = number,
                (5, Field::Bytes(summary)) => {
                    values = fields(summary)
                        .into_iter()
                        .map(|(_, value)| match value {
                            Field::Bytes(value) => scalar(value),
                            Field::Number(_) => panic!("a summary holds messages"),
                        })
                        .collect();
                }
                _ => {}
            }
        }
        (step, values)
    };
    payloads(file).0.iter().map(event).filter(|(_, values)| !values.is_empty()).collect()
}

/// The steps of the losses that are on the disk, in the order of reading.
fn steps(folder: &Path) -> Vec<u64> {
    let read = |path: &PathBuf| scalars(&fs::read(path).expect("an event file"));
    files(folder).iter().flat_map(read).map(|(step, _)| step).collect()
}

fn record(step: u64) -> Record {
    Record { step, loss: step as f64, ..Record::default() }
}

#[test]
fn our_bytes_are_those_of_tensorboards_own_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventLog::open(folder.path(), 300, clock).unwrap();
    let scalars = [("train/loss", 0.12345678901234), ("train/lr", 0.0), ("eval/verlängert", -1e30)];
    events.scalars(310, &scalars).unwrap();
    events.image(70_000, "pictures/ramp", RAMP).unwrap();
    events.flush().unwrap();
    let [file] = &files(folder.path())[..] else { panic!("one file") };
    assert_eq!(fs::read(file).unwrap(), REFERENCE);
    let name = file.file_name().unwrap().to_string_lossy();
    assert!(name.starts_with("events.out.tfevents.1700000000."), "{name}");
}

#[test]
fn a_record_becomes_scalars_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventLog::open(folder.path(), 0, clock).unwrap();
    let record = Record {
        phase: "stage-2".to_owned(),
        step: 300,
        epoch: 1.5,
        loss: 0.75,
        parts: BTreeMap::from([("image".to_owned(), 0.5), ("text".to_owned(), f64::NAN)]),
        lr: 0.125,
        grad_norm: 4.0,
        samples_per_second: 1000.0,
        step_seconds: 0.5,
        data_seconds: 0.125,
        peak_share: Some(0.375),
        mean_loss: Some(1.25),
        features: FeatureRecord { feature_rank: Some(17.0), ..FeatureRecord::default() },
        ..Record::default()
    };
    events.record("stage-2", &record).unwrap();
    let file = fs::read(&files(folder.path())[0]).unwrap();
    let [(300, read)] = &scalars(&file)[..] else { panic!("one record") };
    let mut read = read.clone();
    assert!(read.remove("stage-2/loss/text").is_some_and(f32::is_nan));
    let expected = [
        ("data_wait_share", 0.25),
        ("epoch", 1.5),
        ("feature_rank", 17.0),
        ("grad_norm", 4.0),
        ("loss", 0.75),
        ("loss/image", 0.5),
        ("lr", 0.125),
        ("mean_loss", 1.25),
        ("peak_share", 0.375),
        ("samples_per_second", 1000.0),
    ];
    let expected = expected.map(|(name, value)| (format!("stage-2/{name}"), value));
    assert_eq!(read, BTreeMap::from(expected));
}

#[test]
fn a_resumed_run_writes_a_later_file_and_drops_later_steps() {
    let folder = tempfile::tempdir().unwrap();
    let life = |start: u64, clock: fn() -> SystemTime, made: &[u64]| {
        let mut events = EventLog::open(folder.path(), start, clock).unwrap();
        for &step in made {
            events.record("train", &record(step)).unwrap();
        }
        files(folder.path())
    };
    let first = life(0, clock, &[1, 50, 100, 150]);
    // Within the same second, and stopped before its first checkpoint.
    let second = life(100, clock, &[120, 150]);
    assert_eq!((first.len(), second.len()), (1, 2));
    assert_eq!(second[0], first[0], "the new file is the last");
    assert_eq!(steps(folder.path()), [1, 50, 100, 120, 150]);
    let third = life(100, earlier, &[200]);
    assert_eq!(third[..2], second, "the new file is the last, though the clock was set back");
    assert_eq!(steps(folder.path()), [1, 50, 100, 200]);
    // A TensorBoard that has read the earlier files purges by this event: SessionLog START.
    let newest = fs::read(&third[2]).unwrap();
    let start = fields(payloads(&newest).0[1]);
    assert_eq!(start[1..], [(2, Field::Number(101)), (7, Field::Bytes(&[8, 1]))]);

    let anew = life(0, clock, &[1]);
    assert_eq!(anew.len(), 1, "a run that begins anew has no former lives");
    assert!(anew[0] > third[2]);
    assert_eq!(steps(folder.path()), [1]);
}

#[test]
fn a_record_cut_short_is_left_out_and_cut_off_on_resuming() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventLog::open(folder.path(), 0, clock).unwrap();
    for step in [50, 100] {
        events.record("train", &record(step)).unwrap();
    }
    let path = &files(folder.path())[0];
    let whole = fs::read(path).unwrap();
    let (records, _) = payloads(&whole);
    let last = 16 + records.last().unwrap().len();
    for cut in 1..last {
        fs::write(path, &whole[..whole.len() - cut]).unwrap();
        let file = fs::read(path).unwrap();
        assert!(payloads(&file).1, "cut by {cut}");
        drop(EventLog::open(folder.path(), 100, clock).unwrap());
        let file = fs::read(path).unwrap();
        assert_eq!(file, whole[..whole.len() - last], "cut by {cut}");
    }
    assert_eq!(steps(folder.path()), [50]);
}

#[test]
fn other_files_are_left_alone_and_what_is_no_png_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.jsonl");
    fs::write(&metrics, "{}").unwrap();
    let mut events = EventLog::open(folder.path(), 0, clock).unwrap();
    assert!(metrics.exists());
    let before = fs::read(&files(folder.path())[0]).unwrap();
    for bytes in [&b"GIF89a"[..], b"", &RAMP[..20]] {
        let refused = events.image(1, "pictures/ramp", bytes).unwrap_err().to_string();
        assert!(refused.starts_with("cannot draw pictures/ramp: "), "{refused}");
    }
    assert_eq!(fs::read(&files(folder.path())[0]).unwrap(), before);
    let absent = EventLog::open(&folder.path().join("absent"), 0, clock).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read "), "{absent}");
}
