//! Real videos, encoded and decoded by a real ffmpeg, and the clips that can be fetched.
//!
//! Without ffmpeg or its data a test is reported as ignored, with the command that fetches them.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[path = "video/made.rs"]
mod made;
#[path = "video/seeking.rs"]
mod seeking;
#[path = "video/sounding.rs"]
mod sounding;
#[path = "video/stamps.rs"]
mod stamps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bauta_data::video::{
    ClipAugment, ClipBatch, ClipDataset, ClipLoader, ClipOptions, ClipSampling, ClipSource, Ffmpeg,
    MovingMnist, MovingMnistOptions, PrepareOptions, VideoFiles, VideoOptions, Views, open_clips,
    prepare,
};
use bauta_data::{Cancel, DataError, LoaderConfig, OnError, Split, cache_root, locate};
use libtest_mimic::{Arguments, Trial};

use self::made::{Made, as_they_are, decoded_whole};
use self::seeking::{distant_clips, frames, seeking_is_exact};
use self::stamps::refused_stamps;

fn main() -> ExitCode {
    let trials = vec![
        with_ffmpeg("seeking_gives_exactly_the_frames_of_the_whole", seeking_is_exact),
        with_ffmpeg("clips_far_apart_are_the_frames_of_the_whole", distant_clips),
        with_ffmpeg("a_variable_rate_shows_what_stands_at_each_moment", variable_rates),
        with_ffmpeg("rotation_odd_sizes_and_streams_are_as_ffmpeg_has_them", shapes),
        with_ffmpeg("what_is_no_whole_video_is_refused_with_its_path", bad_files),
        with_ffmpeg("a_folder_of_videos_trains_and_leaves_out_the_corrupt", folders),
        with_ffmpeg("shards_hold_the_same_videos_and_labels", shards),
        with_ffmpeg("stamps_that_cannot_move_and_sound_are_refused", refused_stamps),
        with_ffmpeg(
            "splits_share_no_video_and_sound_is_that_of_the_clip",
            sounding::splits_share_no_video_and_sound_is_that_of_the_clip,
        ),
        with_ffmpeg(
            "what_is_heard_is_what_sounds_then",
            sounding::what_is_heard_is_what_sounds_then,
        ),
        with_ffmpeg(
            "silence_and_short_sounds_are_no_clips",
            sounding::silence_and_short_sounds_are_no_clips,
        ),
        with_data(
            "the_fetched_clips_have_their_known_lengths",
            ClipDataset::VideoClips,
            real_clips,
        ),
        with_data("moving_mnist_is_made_of_real_digits", ClipDataset::MovingMnist, moving_digits),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs the program.
fn with_ffmpeg(name: &str, test: fn(&Ffmpeg)) -> Trial {
    let found = cache_root().and_then(|cache| Ffmpeg::find(&cache));
    trial(name, found.ok().map(|ffmpeg| move || test(&ffmpeg)), "ffmpeg")
}

/// A test that needs a data set, and the program if the data set does.
fn with_data(name: &str, dataset: ClipDataset, test: fn(&[PathBuf], Option<&Ffmpeg>)) -> Trial {
    let cache = cache_root().expect("there is a home folder");
    let ffmpeg = Ffmpeg::find(&cache).ok();
    let roots: Option<Vec<PathBuf>> =
        dataset.packages().into_iter().map(|package| locate(package, &cache)).collect();
    if dataset.needs_ffmpeg() && ffmpeg.is_none() {
        return trial(name, None::<fn()>, "ffmpeg");
    }
    let fetch = dataset.packages()[0].name;
    trial(name, roots.map(|roots| move || test(&roots, ffmpeg.as_ref())), fetch)
}

fn trial(name: &str, test: Option<impl FnOnce() + Send + 'static>, package: &str) -> Trial {
    let fetch = format!("cargo xtask data fetch {package}");
    let missing = format!("{package} is not there; {fetch}");
    match test {
        Some(test) => Trial::test(name, move || {
            test();
            Ok(())
        }),
        // Fails if ignored tests are asked for.
        None => {
            Trial::test(format!("{name}, without {package}: {fetch}"), move || Err(missing.into()))
                .with_ignored_flag(true)
        }
    }
}

fn variable_rates(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    // At 30 frames per second: all for a second, then every fifth.
    let path = made.video(
        "variable.mp4",
        "testsrc2=s=64x48:r=30:d=4,select='lt(n,30)+not(mod(n,5))'",
        "",
        "-fps_mode vfr -c:v libx264 -preset ultrafast -g 10 -pix_fmt yuv420p",
    );
    let source = as_they_are(ffmpeg, &path);
    let timeline = source.timeline(0).unwrap();
    // 30 frames and 18 more, the last at 115/30 s.
    assert_eq!(timeline.frames, 48);
    assert!((timeline.rate - 47.0 / (115.0 / 30.0)).abs() < 1e-3, "{timeline:?}");
    let all: Vec<u64> = (0..48).collect();
    let whole = frames(&source, &all);
    for wanted in [vec![40], vec![3, 4, 5, 6], vec![11, 30, 47]] {
        let expected: Vec<&Vec<u8>> = wanted.iter().map(|&at: &u64| &whole[at as usize]).collect();
        assert!(frames(&source, &wanted).iter().eq(expected), "{wanted:?}");
    }
    // Early positions show every other frame, late ones show each frame more than once.
    let changes = |range: std::ops::Range<usize>| {
        whole[range].windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    assert_eq!(changes(0..12), 11);
    assert!((14..=18).contains(&changes(14..48)), "{}", changes(14..48));
    // ffmpeg's filter for a constant rate gives the same.
    let constant = made.constant(&path, "1410/115");
    assert!(whole.iter().zip(&constant).all(|(ours, theirs)| ours == theirs));
    assert!(constant.len().abs_diff(48) <= 1, "{}", constant.len());
}

fn shapes(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let plain = made.video("plain.mp4", "testsrc2=s=96x64:r=10:d=1", "sine=440:duration=1", x264);
    let info = ffmpeg.probe(&plain).unwrap();
    assert_eq!((info.height, info.width, info.rotation, info.sound), (64, 96, 0, true));
    assert!((info.seconds - 0.9).abs() < 1e-6, "{info:?}");

    let turned = made.turned(&plain, "turned.mp4", 90);
    let info = ffmpeg.probe(&turned).unwrap();
    assert_eq!((info.height, info.width, info.rotation.abs()), (96, 64, 90));
    let source = as_they_are(ffmpeg, &turned);
    let found = source.frames(0, &[3], &Cancel::default()).unwrap();
    assert_eq!((found[0].height(), found[0].width()), (96, 64));
    assert!(frames(&source, &[3])[0] == decoded_whole(ffmpeg, &turned)[3]);

    let odd = made.video("odd.mkv", "testsrc=s=33x17:r=10:d=1", "", "-c:v ffv1 -pix_fmt yuv420p");
    let source = as_they_are(ffmpeg, &odd);
    let found = source.frames(0, &[2], &Cancel::default()).unwrap().remove(0);
    assert_eq!((found.height(), found.width()), (17, 33));
    assert!(found.pixels() == decoded_whole(ffmpeg, &odd)[2]);

    // Samples of ten bits become bytes.
    let deep = "-c:v ffv1 -pix_fmt yuv420p10le";
    let deep = made.video("deep.mkv", "testsrc2=s=64x48:r=10:d=1", "", deep);
    assert!(frames(&as_they_are(ffmpeg, &deep), &[3])[0] == decoded_whole(ffmpeg, &deep)[3]);

    // Of several streams, the one that ffmpeg chooses is shown.
    let several = made.two_streams("several.mkv", "32x16", "64x48");
    assert_eq!(ffmpeg.probe(&several).map(|info| (info.height, info.width)).unwrap(), (48, 64));
    let source = as_they_are(ffmpeg, &several);
    let found = source.frames(0, &[4], &Cancel::default()).unwrap().remove(0);
    assert_eq!((found.height(), found.width()), (48, 64));

    // The shorter side is shrunk to the wanted length, and the other keeps the ratio.
    let options = VideoOptions { short_side: 24, ..VideoOptions::default() };
    for (path, size) in [(&plain, (24, 36)), (&turned, (36, 24)), (&odd, (17, 33))] {
        let source = VideoFiles::files(vec![path.clone()], ffmpeg.clone(), &options).unwrap();
        let frame = source.frames(0, &[1], &Cancel::default()).unwrap().remove(0);
        assert_eq!((frame.height(), frame.width()), size, "{}", path.display());
    }
    let options = VideoOptions { max_pixels: 96 * 64 - 1, short_side: 0, ..options };
    let source = VideoFiles::files(vec![plain], ffmpeg.clone(), &options).unwrap();
    let error = source.frames(0, &[1], &Cancel::default()).unwrap_err().to_string();
    assert!(error.contains("max_pixels = 6143"), "{error}");
}

/// The header of a format that has nothing else before its frames.
const NO_FRAMES: &[u8] = b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n";

fn bad_files(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10";
    let good = made.video("good.mp4", "testsrc2=s=96x64:r=25:d=4", "", x264);
    let first = |path: &Path, part: f64, name: &str| {
        let bytes = fs::read(path).unwrap();
        made.file(name, &bytes[..(bytes.len() as f64 * part) as usize])
    };
    let mut streamed = "-movflags +faststart ".to_owned();
    streamed += x264;
    let fast = made.video("fast.mp4", "testsrc2=s=96x64:r=25:d=4", "", &streamed);
    let matroska = made.video("whole.mkv", "testsrc2=s=96x64:r=25:d=4", "", x264);
    for (path, words) in [
        (made.file("text.mp4", b"no video at all"), "not a video that ffmpeg can read"),
        (made.file("empty.mp4", b""), "not a video that ffmpeg can read"),
        (
            made.video("sound.m4v", "", "sine=440:duration=1", "-c:a aac -f mp4"),
            "sound but no pictures",
        ),
        (first(&good, 0.5, "headless.mp4"), "not a video that ffmpeg can read"),
        (first(&fast, 0.6, "cut.mp4"), "cut off"),
        (first(&matroska, 0.6, "cut.mkv"), "cut off"),
        (made.path("nowhere.mp4"), "No such file"),
        (made.file("none.mp4", NO_FRAMES), "it has no frames"),
    ] {
        let error = ffmpeg.probe(&path).unwrap_err();
        let text = error.to_string();
        let named = text.contains(&path.display().to_string());
        assert!(named && text.contains(words), "{text}");
        assert!(text.lines().count() == 1 && text.len() < 400, "{text}");
        assert!(matches!(error, DataError::Video { .. }), "{text}");
    }
}

/// The training clips of a folder, from the loader.
fn loaded(root: &Path, ffmpeg: &Ffmpeg, threads: usize) -> (Vec<ClipBatch>, u64) {
    let find = || Ok(ffmpeg.clone());
    let splits =
        open_clips(ClipDataset::Videos, &[root.to_path_buf()], &find, &ClipOptions::default());
    let splits = splits.unwrap();
    assert_eq!(splits.test.unwrap().len(), 1);
    let sampling = ClipSampling { frames: 4, stride: 2, ..ClipSampling::default() };
    let config = LoaderConfig { threads, on_error: OnError::Skip, ..LoaderConfig::new(3, 16, 24) };
    let loader =
        ClipLoader::new(splits.train, sampling, ClipAugment::default(), 2, config).unwrap();
    let mut inputs = loader.batches(0..4, |batch| batch);
    let batches = inputs.by_ref().map(Result::unwrap).collect();
    (batches, inputs.skipped())
}

fn folders(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    let root = made.data_set();
    let (batches, skipped) = loaded(&root, ffmpeg, 1);
    // Five videos, batches of three: one batch per epoch.
    assert!(skipped >= 1, "the corrupt one is counted");
    let mut seen = [false; 2];
    for batch in &batches {
        assert_eq!(batch.pixels.dim(), (batch.indices.len() * 2, 3, 4, 16, 24));
        for &label in &batch.labels[0] {
            seen[label as usize] = true;
        }
    }
    assert_eq!(seen, [true; 2]);
    assert_eq!((batches, skipped), loaded(&root, ffmpeg, 3), "threads do not matter");
    // An evaluation reads every video, at the same frames each time.
    let find = || Ok(ffmpeg.clone());
    let splits = open_clips(ClipDataset::Videos, &[root], &find, &ClipOptions::default()).unwrap();
    let sampling = ClipSampling { frames: 4, stride: 2, ..ClipSampling::default() };
    let views = Views { clips: 2, crops: 3 };
    let config = LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(2, 16, 16) };
    let loader = ClipLoader::for_evaluation(splits.train, sampling, views, config).unwrap();
    let error = loader.batches(0..3, |batch| batch).find_map(Result::err).unwrap().to_string();
    assert!(error.contains("broken.mp4"), "{error}");
}

fn shards(ffmpeg: &Ffmpeg) {
    let made = Made::new(ffmpeg);
    let root = made.data_set();
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("shards");
    let options = PrepareOptions { per_shard: 2, ..PrepareOptions::default() };
    let report = prepare(&root, &out, ffmpeg, &options, &|_| ()).unwrap();
    assert_eq!((report.videos, report.left_out.len()), (5, 1));
    assert!(report.left_out[0].contains("broken.mp4"), "{report:?}");
    let again = prepare(&root, &out, ffmpeg, &options, &|_| ()).unwrap_err().to_string();
    assert!(again.contains("already exists"), "{again}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing else is left");

    let open = |name, root: &Path| {
        let find = || Ok(ffmpeg.clone());
        open_clips(name, &[root.to_path_buf()], &find, &ClipOptions::default()).unwrap()
    };
    let (videos, shards) = (open(ClipDataset::Videos, &root), open(ClipDataset::FrameShards, &out));
    assert_eq!((shards.train.len(), shards.test.unwrap().len()), (4, 1));
    assert_eq!(shards.train.label_sets(), videos.train.label_sets());
    let mut frames = 0;
    for index in 0..shards.train.len() {
        let name = shards.train.describe(index);
        let same = (0..videos.train.len())
            .find(|&video| {
                let path = videos.train.describe(video);
                name.starts_with(path.strip_prefix(&format!("{}/", root.display())).unwrap())
            })
            .unwrap();
        assert_eq!(shards.train.label(index, 0), videos.train.label(same, 0));
        let timeline = shards.train.timeline(index).unwrap();
        assert_eq!(timeline, videos.train.timeline(same).unwrap());
        frames += timeline.frames;
        let wanted = [1, timeline.frames - 1];
        let none = Cancel::default();
        let [ours, theirs] = [(&shards.train, index), (&videos.train, same)]
            .map(|(source, at)| source.frames(at, &wanted, &none).unwrap());
        for (one, other) in ours.iter().zip(&theirs) {
            assert_eq!((one.height(), one.width()), (other.height(), other.width()));
            let off: u64 = one
                .pixels()
                .iter()
                .zip(other.pixels())
                .map(|(&a, &b)| u64::from(a.abs_diff(b)))
                .sum();
            // Test pictures with hard edges are the worst case for JPEG.
            assert!(off / one.pixels().len() as u64 <= 12, "{name}: {off}");
        }
    }
    assert_eq!(frames + 30, report.frames);
}

fn real_clips(roots: &[PathBuf], ffmpeg: Option<&Ffmpeg>) {
    let ffmpeg = ffmpeg.expect("it was looked for");
    let find = || Ok(ffmpeg.clone());
    let options = ClipOptions { holdout: Some(0.4), ..ClipOptions::default() };
    let splits = open_clips(ClipDataset::VideoClips, roots, &find, &options).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((splits.train.len(), test.len()), (9, 3));
    let known = [
        ("Effet_force_magnetique.ogv", 34),
        ("Force_constante.avi", 26),
        ("Principe_inertie.avi", 28),
        ("balle-jbart.mp4", 255),
        ("balle1-vp9.avi", 295),
        ("bigbuckbunny.mp4", 132),
        ("bikes.mp4", 250),
        ("carphone_distorted.mp4", 120),
        ("carphone_pristine.mp4", 120),
        ("g1.avi", 16),
        ("g2.avi", 16),
        ("retroMars2018.avi", 25),
    ];
    let mut found = Vec::new();
    for source in [&splits.train, &test] {
        for index in 0..source.len() {
            let path = PathBuf::from(source.describe(index));
            let frames = source.timeline(index).unwrap().frames;
            let wanted = [frames / 2, frames - 1];
            let read = source.frames(index, &wanted, &Cancel::default());
            assert_eq!(read.unwrap().len(), 2, "{}", path.display());
            found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), frames));
        }
    }
    found.sort();
    assert!(found.iter().map(|(name, frames)| (&**name, *frames)).eq(known), "{found:?}");
}

fn moving_digits(roots: &[PathBuf], _: Option<&Ffmpeg>) {
    let options = MovingMnistOptions { videos: 500, test_videos: 50, ..Default::default() };
    let source = MovingMnist::open(Split::Train, &roots[0], &options).unwrap();
    assert_eq!(source.label_sets()[0].classes.len(), 55);
    // Two digits of 28 × 28 pixels, of which 13 % are white, in 64 × 64.
    let mean = source.statistics().mean[0];
    assert!((0.03..0.06).contains(&mean), "{mean}");
    let test = MovingMnist::open(Split::Test, &roots[0], &options).unwrap();
    assert_eq!(test.len(), 50);
    let sampling = ClipSampling { frames: 16, stride: 1, ..ClipSampling::default() };
    let config = LoaderConfig::new(50, 64, 64);
    let loader =
        ClipLoader::new(Arc::new(source), sampling, ClipAugment::none(), 1, config).unwrap();
    let directions: std::collections::HashSet<i64> = loader
        .batches(0..10, |batch| batch)
        .flat_map(|batch| batch.unwrap().labels[1].clone())
        .collect();
    assert_eq!(directions.len(), 8);
}
