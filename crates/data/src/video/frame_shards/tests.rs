//! Shards are read as they were written, and damaged ones refused.

use std::fs;

use super::index::frame_name;
use super::*;
use crate::image::tests::{encode, gradient};

fn jpeg(seed: u8) -> Vec<u8> {
    encode(&gradient(12, 16, seed), ::image::ImageFormat::Jpeg)
}

fn entry(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes).unwrap();
}

/// A shard of videos: path, class, and frames.
fn shard(videos: &[(&str, Option<&str>, u8)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (number, (path, class, frames)) in videos.iter().enumerate() {
        for frame in 0..*frames {
            let name = format!("{number:06}/{}", frame_name(frame.into()));
            entry(&mut archive, &name, &jpeg(frame));
        }
        let about = About {
            path: (*path).to_owned(),
            class: class.map(str::to_owned),
            frames: (*frames).into(),
            rate: 12.5,
        };
        let text = serde_json::to_vec(&about).unwrap();
        entry(&mut archive, &format!("{number:06}/video.json"), &text);
    }
    archive.into_inner().unwrap()
}

fn opened(files: &[(&str, Vec<u8>)]) -> Result<(FrameShards, Option<FrameShards>), String> {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let (train, test) = FrameShards::splits(root.path(), &VideoOptions::default(), &mut Vec::new())
        .map_err(|error| error.to_string())?;
    // The files are opened while they exist.
    for source in [Some(&train), test.as_ref()].into_iter().flatten() {
        for index in 0..source.len() {
            source.frames(index, &[0], &Cancel::default()).map_err(|error| error.to_string())?;
        }
    }
    Ok((train, test))
}

#[test]
fn any_frame_of_any_video_is_one_read_away() {
    let videos = [("b/one.mp4", Some("b"), 3), ("a/two.mp4", Some("a"), 5)];
    let further = [("a/three.mp4", Some("a"), 2)];
    let (train, test) = opened(&[
        ("train/00000.tar", shard(&videos)),
        ("train/00001.tar", shard(&further)),
        ("val/00000.tar", shard(&[("b/four.mp4", Some("b"), 1)])),
    ])
    .unwrap();
    assert_eq!((train.len(), train.label_sets()[0].classes.join(" ")), (3, "a b".to_owned()));
    assert_eq!([0, 1, 2].map(|index| train.label(index, 0)), [1, 0, 0]);
    assert_eq!(train.timeline(1).unwrap(), Timeline { frames: 5, rate: 12.5 });
    assert_eq!(train.relative(2), b"a/three.mp4");
    let frames = train.frames(1, &[1, 4], &Cancel::default()).unwrap();
    for (frame, seed) in frames.iter().zip([1, 4]) {
        assert_eq!(*frame, Image::decode(&jpeg(seed)).unwrap());
    }
    assert_eq!(test.unwrap().label(0, 0), 1);
    assert!(train.describe(2).starts_with("a/three.mp4 in "));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let error = |files: &[(&str, Vec<u8>)]| opened(files).err().unwrap();
    let whole = shard(&[("one.mp4", None, 3)]);
    // Cut in a frame, between frames, and before the end of the video.
    for length in [700, 2048, whole.len() - 2048] {
        let cut = error(&[("0.tar", whole[..length].to_vec())]);
        assert!(cut.contains("0.tar") && cut.lines().count() == 1, "{length}: {cut}");
    }
    let mut short = tar::Builder::new(Vec::new());
    entry(&mut short, "000000/000000.jpg", &jpeg(0));
    let about = br#"{"path": "a", "class": null, "frames": 2, "rate": 25.0}"#;
    entry(&mut short, "000000/video.json", about);
    let message = error(&[("0.tar", short.into_inner().unwrap())]);
    assert!(message.contains("declares 2 frames") && message.contains("1 precede"));
    for (name, words) in
        [("000000/000001.jpg", "is out of order"), ("loose.jpg", "not a frame of a video")]
    {
        let mut strange = tar::Builder::new(Vec::new());
        entry(&mut strange, name, &jpeg(0));
        let message = error(&[("0.tar", strange.into_inner().unwrap())]);
        assert!(message.contains(words), "{message}");
    }
    let mixed = shard(&[("a/1.mp4", Some("a"), 1), ("2.mp4", None, 1)]);
    assert!(error(&[("0.tar", mixed)]).contains("only 1 of 2 videos have a class"));
    let labelled = || shard(&[("a/1.mp4", Some("a"), 1)]);
    let strange = shard(&[("z/1.mp4", Some("z"), 1)]);
    let message = error(&[("train/0.tar", labelled()), ("val/0.tar", strange)]);
    assert!(message.contains("class z"), "{message}");
    let message = error(&[("train/0.tar", labelled()), ("val/0.tar", whole)]);
    assert!(message.contains("must both have classes, or neither"), "{message}");
    let empty = tar::Builder::new(Vec::new()).into_inner().unwrap();
    assert!(error(&[("0.tar", empty)]).contains("prepare-video"));
}
