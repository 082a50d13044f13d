//! Videos that a test makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_data::video::{Ffmpeg, VideoFiles, VideoOptions};

/// A folder of videos that ffmpeg has made.
pub struct Made<'a> {
    ffmpeg: &'a Ffmpeg,
    folder: tempfile::TempDir,
}

impl<'a> Made<'a> {
    pub fn new(ffmpeg: &'a Ffmpeg) -> Self {
        Self { ffmpeg, folder: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Encodes what the filters `pictures` and `sound` make, either of which may be empty.
    pub fn video(&self, name: &str, pictures: &str, sound: &str, encoder: &str) -> PathBuf {
        let path = self.path(name);
        let mut arguments = Vec::new();
        for source in [pictures, sound].into_iter().filter(|source| !source.is_empty()) {
            arguments.extend(["-f", "lavfi", "-i", source]);
        }
        arguments.extend(encoder.split_whitespace());
        self.run(&arguments, &path);
        path
    }

    /// A folder of videos in two classes, one of them corrupt, with a test split.
    pub fn data_set(&self) -> PathBuf {
        let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
        for (name, source) in [
            ("train/bars/1.mp4", "smptebars=s=48x32:r=25:d=1"),
            ("train/bars/2.mp4", "testsrc2=s=64x48:r=10:d=1"),
            ("train/life/1.mp4", "life=s=48x32:r=25:seed=3,trim=end_frame=30"),
            ("train/life/deep/2.mkv", "life=s=32x32:r=30:seed=4,trim=end_frame=30"),
            ("val/life/3.mp4", "life=s=48x32:r=25:seed=5,trim=end_frame=30"),
        ] {
            self.video(name, source, "", x264);
        }
        self.file("train/life/broken.mp4", b"no video");
        self.file("train/life/notes.txt", b"no video either");
        self.root()
    }

    /// A copy that says that it is to be turned.
    pub fn turned(&self, video: &Path, name: &str, degrees: i32) -> PathBuf {
        let path = self.path(name);
        let (degrees, video) = (degrees.to_string(), video.to_str().unwrap());
        self.run(&["-display_rotation", &degrees, "-i", video, "-c", "copy"], &path);
        path
    }

    /// Two streams of pictures in one file, the other being its default.
    pub fn two_streams(&self, name: &str, one: &str, other: &str) -> PathBuf {
        let path = self.path(name);
        let [one, other] = [one, other].map(|size| format!("testsrc2=s={size}:r=10:d=1"));
        let arguments =
            ["-f", "lavfi", "-i", &one, "-f", "lavfi", "-i", &other, "-map", "0", "-map", "1"];
        let chosen = ["-disposition:0", "0", "-disposition:1", "default", "-c:v", "ffv1"];
        self.run(&[&arguments[..], &chosen].concat(), &path);
        path
    }

    /// What ffmpeg's filter for a constant rate gives.
    pub fn constant(&self, video: &Path, rate: &str) -> Vec<Vec<u8>> {
        raw(self.ffmpeg, video, &["-vf", &format!("fps={rate}:round=near")])
    }

    fn run(&self, arguments: &[&str], path: &Path) {
        let output = Command::new(self.ffmpeg.program())
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .args(["-bitexact", path.to_str().unwrap()])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && path.is_file(), "{arguments:?}: {words}");
    }
}

/// A video read at its own size.
pub fn as_they_are(ffmpeg: &Ffmpeg, path: &Path) -> VideoFiles {
    let options = VideoOptions { short_side: 0, ..VideoOptions::default() };
    VideoFiles::files(vec![path.to_path_buf()], ffmpeg.clone(), &options).unwrap()
}

/// All frames of a video, as ffmpeg gives them from the beginning.
pub fn decoded_whole(ffmpeg: &Ffmpeg, path: &Path) -> Vec<Vec<u8>> {
    raw(ffmpeg, path, &[])
}

fn raw(ffmpeg: &Ffmpeg, path: &Path, arguments: &[&str]) -> Vec<Vec<u8>> {
    let info = ffmpeg.probe(path).unwrap();
    let output = Command::new(ffmpeg.program())
        .args(["-v", "error", "-nostdin", "-i", path.to_str().unwrap(), "-an"])
        .args(arguments)
        .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(info.height * info.width * 3).map(<[u8]>::to_vec).collect()
}
