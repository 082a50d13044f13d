//! Frames from the middle of a video are those of the whole, decoded from its beginning.

use bauta_data::Cancel;
use bauta_data::video::{ClipSource, Ffmpeg, VideoFiles};

use crate::made::{Made, as_they_are, decoded_whole};

pub fn frames(source: &VideoFiles, wanted: &[u64]) -> Vec<Vec<u8>> {
    let frames = source.frames(0, wanted, &Cancel::default()).expect("frames that are there");
    frames.iter().map(|frame| frame.pixels().to_vec()).collect()
}

pub fn seeking_is_exact(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    // Two seconds each, of codecs and containers with times of every kind.
    let x264 = "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0 -pix_fmt yuv420p";
    for (name, rate, encoder) in [
        ("plain.mp4", "25", format!("{x264} -g 12")),
        ("open.mp4", "30000/1001", format!("{x264} -g 10 -x264-params open-gop=1:scenecut=0")),
        ("open.mkv", "25", format!("{x264} -g 10 -x264-params open-gop=1:scenecut=0")),
        ("long.mkv", "24000/1001", format!("{x264} -g 250")),
        ("late.ts", "25", format!("{x264} -g 10 -output_ts_offset 3")),
        ("old.avi", "10", "-c:v mpeg4 -g 9 -q:v 4".to_owned()),
        ("older.mpg", "25", "-c:v mpeg2video -g 9 -bf 2 -q:v 4".to_owned()),
        ("moving.gif", "10", String::new()),
        ("sound.mp4", "30", format!("{x264} -g 15")),
    ] {
        let sound = if name == "sound.mp4" { "sine=440:duration=3" } else { "" };
        let path = made.video(name, &format!("testsrc2=s=96x64:r={rate}:d=2"), sound, &encoder);
        let whole = decoded_whole(ffmpeg, &path);
        let source = as_they_are(ffmpeg, &path);
        let timeline = source.timeline(0).unwrap();
        let (found, asked) = (timeline.rate, rate.split_once('/'));
        let asked: f64 = match asked {
            Some((ones, of)) => ones.parse::<f64>().unwrap() / of.parse::<f64>().unwrap(),
            None => rate.parse().unwrap(),
        };
        assert_eq!(timeline.frames, whole.len() as u64, "{name}");
        assert!((found - asked).abs() < 0.02, "{name}: {found} of {asked}");
        let last = timeline.frames - 1;
        for wanted in [
            vec![0],
            vec![last],
            vec![7, 8, 9],
            vec![1, 5, 11, last - 1],
            vec![last - 2, last - 1, last],
            (0..=last).collect(),
            (3..last).step_by(4).collect(),
        ] {
            let expected: Vec<&Vec<u8>> = wanted.iter().map(|&at| &whole[at as usize]).collect();
            let found = frames(&source, &wanted);
            assert!(found.iter().eq(expected), "{name}: {wanted:?}");
        }
        for at in (2..=last).step_by(3) {
            assert!(frames(&source, &[at])[0] == whole[at as usize], "{name}: {at}");
        }
    }
}

pub fn distant_clips(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    let x264 = "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0 -pix_fmt yuv420p -g 40";
    // The second does not allow seeking, and is decoded from its beginning.
    for name in ["long.mp4", "long.ts"] {
        let path = made.video(name, "testsrc2=s=48x32:r=25:d=30", "", x264);
        let whole = decoded_whole(ffmpeg, &path);
        let source = as_they_are(ffmpeg, &path);
        for wanted in [vec![3, 4, 7, 500, 503, 749], vec![0, 301], vec![0, 300, 601, 602]] {
            let expected: Vec<&Vec<u8>> = wanted.iter().map(|&at| &whole[at as usize]).collect();
            assert!(frames(&source, &wanted).iter().eq(expected), "{name}: {wanted:?}");
        }
    }
}
