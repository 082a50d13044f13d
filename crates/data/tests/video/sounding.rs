//! Clips of a user's own videos, with sound.

use std::collections::BTreeSet;
use std::fs;

use bauta_data::Cancel;
use bauta_data::video::{
    Ffmpeg, SoundingClip, SoundingSource, SoundingSplit, SoundingVideoOptions, SoundingVideos,
};

use super::made::Made;

/// H.264 and AAC, as in most users' files.
const ENCODER: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -b:a 64k";

const SPLITS: [SoundingSplit; 3] =
    [SoundingSplit::Train, SoundingSplit::HeldOut, SoundingSplit::Test];

fn options() -> SoundingVideoOptions {
    SoundingVideoOptions { size: 16, frames: 10, holdout: 0.3, ..SoundingVideoOptions::default() }
}

fn open(made: &Made<'_>, ffmpeg: &Ffmpeg, heard: bool) -> SoundingVideos {
    SoundingVideos::open(&made.root(), ffmpeg, &options(), heard, &mut Vec::new()).unwrap()
}

fn clip(source: &SoundingVideos, split: SoundingSplit, index: u64) -> Option<SoundingClip> {
    source.clip(split, index, &Cancel::default()).unwrap()
}

/// A folder of twelve copies of one video.
fn copies<'a>(ffmpeg: &'a Ffmpeg, pictures: &str, sound: &str) -> Made<'a> {
    let made = Made::new(ffmpeg);
    let first = made.video("0.mp4", pictures, sound, ENCODER);
    for copy in 1..12 {
        fs::copy(&first, made.path(&format!("{copy}.mp4"))).unwrap();
    }
    made
}

/// Crossings of zero from below.
fn crossings(wave: &[f32]) -> usize {
    wave.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count()
}

/// Each video has its own brightness and tone.
pub fn splits_share_no_video_and_sound_is_that_of_the_clip(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    for video in 0..12 {
        let (grey, tone) = (20 * video + 10, 200 + 100 * video);
        let pictures = format!("color=c=0x{grey:02x}{grey:02x}{grey:02x}:s=48x32:r=20:d=2");
        let sound = format!("sine=frequency={tone}:sample_rate=16000:duration=3");
        let class = if video % 2 == 0 { "even" } else { "odd" };
        made.video(&format!("{class}/{video}.mp4"), &pictures, &sound, ENCODER);
    }
    let source = open(&made, ffmpeg, true);
    assert_eq!(source.classes(), ["even", "odd"]);
    assert_eq!((source.frames(), source.size(), source.samples()), (10, 16, 16_000));
    let seen = SPLITS.map(|split| -> BTreeSet<usize> {
        let videos = (0..12).map(|index| {
            let found = clip(&source, split, index).unwrap();
            assert_eq!(found.frames.len(), 10 * 16 * 16 * 3);
            assert!(found.sound.iter().all(|ear| ear.len() == 16_000));
            let video = usize::from(found.frames[0]).saturating_sub(4) / 20;
            // The encoder leaves a packet of silence before the first.
            let heard = crossings(&found.sound[0][1600..]).abs_diff((200 + 100 * video) * 9 / 10);
            assert!(heard < 5, "video {video}: off by {heard} Hz");
            assert_eq!(found.class as usize, video % 2);
            video
        });
        videos.collect()
    });
    let [train, held_out, test] = &seen;
    assert!(seen.iter().all(|videos| !videos.is_empty()));
    assert!(train.is_disjoint(held_out) && train.is_disjoint(test) && held_out.is_disjoint(test));
    let again = clip(&open(&made, ffmpeg, true), SoundingSplit::Train, 3);
    assert_eq!(clip(&source, SoundingSplit::Train, 3), again);
}

/// After a second and a half the video becomes bright and sounds.
pub fn what_is_heard_is_what_sounds_then(ffmpeg: &Ffmpeg) {
    let pictures = "color=c=black:s=32x32:r=20:d=3,drawbox=color=white:t=fill:enable='gte(t,1.5)'";
    let sound = "aevalsrc='0.5*sin(2*PI*500*t)*gte(t,1.5)':s=16000:d=3";
    let made = copies(ffmpeg, pictures, sound);
    let source = open(&made, ffmpeg, true);
    let mut within = 0;
    for index in 0..24 {
        // Before that nothing can be heard, and there is no clip.
        let Some(found) = clip(&source, SoundingSplit::Train, index) else { continue };
        let frame = found.frames.chunks_exact(16 * 16 * 3).position(|frame| frame[0] > 128);
        let sample = found.sound[0].iter().position(|sample| sample.abs() > 0.1);
        let bright = frame.unwrap() as f64 / 10.0;
        let loud = sample.unwrap() as f64 / 16_000.0;
        assert!((bright - loud).abs() < 0.12, "bright from {bright}, loud from {loud}");
        within += usize::from(bright > 0.0);
    }
    assert!(within >= 3, "only {within} clips show the change");
}

pub fn silence_and_short_sounds_are_no_clips(ffmpeg: &Ffmpeg) {
    let pictures = "testsrc2=s=32x32:r=20:d=1";
    let of = |sound: &str| {
        let made = copies(ffmpeg, pictures, sound);
        clip(&open(&made, ffmpeg, true), SoundingSplit::Train, 0)
    };
    assert_eq!(of("anullsrc=r=16000:d=1"), None);
    assert_eq!(of("sine=frequency=500:sample_rate=16000:duration=0.3"), None);
    // The rest is silence.
    let short = of("sine=frequency=500:sample_rate=16000:duration=0.7").unwrap();
    let loudest = |part: &[f32]| part.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert_eq!(short.sound[1].len(), 16_000);
    assert!(loudest(&short.sound[1][..10_000]) > 0.05);
    assert!(loudest(&short.sound[1][14_000..]) < 1e-3);

    let mute = copies(ffmpeg, pictures, "");
    let source = open(&mute, ffmpeg, true);
    let refused = source.clip(SoundingSplit::Test, 0, &Cancel::default()).unwrap_err().to_string();
    assert!(refused.contains(".mp4") && refused.contains("it has no sound"), "{refused}");
    let seen = clip(&open(&mute, ffmpeg, false), SoundingSplit::Test, 0).unwrap();
    assert!(seen.sound.iter().all(Vec::is_empty));

    let long = SoundingVideoOptions { seconds: 2.0, ..options() };
    let source = SoundingVideos::open(&mute.root(), ffmpeg, &long, false, &mut Vec::new()).unwrap();
    let refused = source.clip(SoundingSplit::Train, 0, &Cancel::default()).unwrap_err().to_string();
    assert!(refused.contains("too short for a clip"), "{refused}");
    let refused = |options: SoundingVideoOptions| {
        let opened = SoundingVideos::open(&mute.root(), ffmpeg, &options, false, &mut Vec::new());
        opened.err().unwrap().to_string()
    };
    assert_eq!(
        refused(SoundingVideoOptions { seconds: 0.0, ..options() }),
        "seconds = 0: must be in [0.1, 60]"
    );
    assert!(refused(SoundingVideoOptions { holdout: 1.0, ..options() }).contains("in (0, 1)"));
    assert!(refused(SoundingVideoOptions { size: 4, ..options() }).contains("8 to 1024"));
}
