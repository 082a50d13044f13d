//! Stamps that are refused.

use bauta_data::video::{Ffmpeg, MovingStamps, MovingStampsOptions};
use image::{Rgba, RgbaImage};

/// Options are refused before anything is read, as are files that are silent or not a sound.
pub fn refused_stamps(ffmpeg: &Ffmpeg) {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: MovingStampsOptions| {
        MovingStamps::open(folder.path(), ffmpeg, &options).err().unwrap().to_string()
    };
    let usual = MovingStampsOptions::default();
    let none = refused(MovingStampsOptions { stamps: 0, ..usual.clone() });
    assert_eq!(none, "stamps = 0: must be at least 1");
    assert!(refused(MovingStampsOptions { size: 4, ..usual.clone() }).contains("8 to 1024"));
    assert!(refused(MovingStampsOptions { frames: 1, ..usual.clone() }).contains("2 to 1000"));
    assert!(
        refused(MovingStampsOptions { exponent: -1.0, ..usual.clone() }).contains("at least 0")
    );
    assert!(refused(usual.clone()).contains("holds no 5 stamps with a sound"));

    // A silent sound, and a file that is not a sound.
    let picture = RgbaImage::from_pixel(8, 8, Rgba([9, 9, 9, 255]));
    picture.save(folder.path().join("mute.png")).unwrap();
    let mut silence = b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x80\x3e\0\0".to_vec();
    silence.resize(44 + 16_000, 0);
    std::fs::write(folder.path().join("mute.wav"), silence).unwrap();
    let mute = refused(MovingStampsOptions { stamps: 1, ..usual.clone() });
    assert!(mute.contains("1 PNG files lie beside") && mute.contains("0 of them"), "{mute}");
    std::fs::write(folder.path().join("mute.wav"), b"no sound at all").unwrap();
    assert!(refused(MovingStampsOptions { stamps: 1, ..usual }).contains("cannot be read"));
}
