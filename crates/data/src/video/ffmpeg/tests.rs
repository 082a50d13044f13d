//! Programs that fail in every way, simulated by shell scripts.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A program of some shell lines, in which `frame` writes a frame of 2 × 1 pixels. Asked for
/// packets it lists five, and asked for its version it claims to be ffmpeg.
pub(in crate::video) fn program(folder: &Path, lines: &str) -> PathBuf {
    let path = folder.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\n\
        frame() {{ printf 'P6\\n2 1\\n255\\nabcdef'; }}\n\
        case \"$*\" in\n\
        -version) echo 'ffmpeg version 0 for tests'; exit;;\n\
        *framecrc*)\n\
          echo '[info] Input #0, mov' >&2\n\
          echo '[info]   Stream #0:0: Video: h264, yuv420p, 2x1, 10 fps, 10 tbr' >&2\n\
          echo '[info]   Stream #0:0 -> #0:0 (copy)' >&2\n\
          echo '#tb 0: 1/10'\n\
          for i in 0 1 2 3 4; do echo \"0, $i, $i, 1, 9, 0x1\"; done; exit;;\n\
        esac\n{lines}\n"
    );
    // Written by another process: if a thread of this one forked while the script was open for
    // writing, the script could not be run.
    let plain = folder.join("script");
    fs::write(&plain, script).unwrap();
    let copied = Command::new("sh")
        .args(["-c", "cat \"$0\" > \"$1\" && chmod +x \"$1\""])
        .args([&plain, &path])
        .status();
    assert!(copied.unwrap().success());
    path
}

/// The result of decoding frames 1 and 3 of a video with such a program.
fn decoded(lines: &str) -> (Result<bool, String>, usize, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::at(program(folder.path(), lines)).unwrap();
    let video = folder.path().join("clip.mp4");
    fs::write(&video, "no matter").unwrap();
    let info = ffmpeg.probe(&video).unwrap();
    assert_eq!((info.timeline.frames, info.timeline.rate.round()), (5, 10.0));
    let how = Decode { path: &video, info: &info, short_side: 0, max_pixels: 100, seek: false };
    let (mut frames, begun) = (0, Instant::now());
    let result = decode(&ffmpeg, how, &[1, 3], &Cancel::default(), |frame| {
        assert_eq!(frame.pixels(), b"abcdef");
        frames += 1;
        Ok(())
    });
    (result, frames, begun.elapsed())
}

#[test]
fn frames_come_and_a_program_that_goes_on_is_ended() {
    assert_eq!(decoded("frame; frame").0, Ok(true));
    // The program would run for a minute.
    let (result, frames, time) = decoded("frame; frame; exec sleep 60");
    assert_eq!((result, frames), (Ok(true), 2));
    assert!(time < Duration::from_secs(20), "{time:?}");
}

#[test]
fn a_program_that_dies_half_way_is_an_error_with_its_words() {
    let error = |lines: &str| decoded(lines).0.unwrap_err();
    let died = error("frame; echo '[h264 @ 0x1] [error] out of luck' >&2; exit 3");
    assert_eq!(died, "frame 3 of 5 cannot be decoded: out of luck");
    let killed = error("frame; kill -9 $$");
    assert!(killed.contains("frame 3") && killed.contains("signal: 9"), "{killed}");
    let half = error("frame; printf 'P6\\n2 1\\n255\\nab'");
    assert!(half.contains("middle of a frame"), "{half}");
    let large = error("printf 'P6\\n999 999\\n255\\n'");
    assert!(large.contains("999 × 999") && large.contains("max_pixels = 100"), "{large}");
    assert!(error("echo nonsense").contains("not a picture"));
    assert!(error("exit 0").contains("frame 1 of 5"));
}

#[test]
fn a_clip_that_nobody_wants_ends_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let lines = format!("echo $$ > '{}'; frame; exec sleep 60", begun.display());
    let ffmpeg = Ffmpeg::at(program(folder.path(), &lines)).unwrap();
    let source = crate::video::VideoFiles::files(
        vec![folder.path().join("ffmpeg")],
        ffmpeg,
        &crate::video::VideoOptions::default(),
    )
    .unwrap();
    let source: std::sync::Arc<dyn crate::video::ClipSource> = std::sync::Arc::new(source);
    let sampling = crate::video::ClipSampling { frames: 4, stride: 1, ..Default::default() };
    let loader = crate::video::ClipLoader::new(
        source,
        sampling,
        crate::video::ClipAugment::default(),
        1,
        crate::LoaderConfig { threads: 1, ..crate::LoaderConfig::new(1, 2, 2) },
    )
    .unwrap();
    let batches = loader.batches(0..100, |batch| batch);
    let id = loop {
        match fs::read_to_string(&begun) {
            Ok(id) if id.ends_with('\n') => break id.trim().to_owned(),
            _ => thread::sleep(Duration::from_millis(5)),
        }
    };
    drop(batches);
    let alive = || Path::new("/proc").join(&id).exists();
    let since = Instant::now();
    while alive() && since.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!alive(), "the program goes on, or was not waited for");
}
