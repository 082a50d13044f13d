//! Tests with archives built by hand, valid and malicious; none of them uses the network.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn sha256(bytes: &[u8]) -> &'static str {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    sum.leak()
}

/// A table row for an archive that holds `a.bin` and, in a folder, `deep/b.bin`.
fn row(registry: Registry, archive: &[u8]) -> Package {
    Package {
        name: "sample",
        about: "a test",
        licence: "none",
        registry,
        package: "sample-package",
        version: "1.0.0",
        bytes: archive.len() as u64,
        inside: "package/",
        selection: None,
        proof: Proof::Archive { sha256: sha256(archive), files: &["a.bin", "deep/b.bin"] },
    }
}

const HONEST: [(&str, &[u8]); 3] = [
    ("package/a.bin", b"first"),
    ("package/deep/b.bin", b"second"),
    ("elsewhere/c.bin", b"not wanted"),
];

/// Writes a gzipped tar file; names are written unchecked, so that they can be malicious.
fn tgz(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let header = |name: &str, size: usize, kind| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header
    };
    for (name, target) in links {
        let mut header = header(name, 0, tar::EntryType::Symlink);
        header.set_link_name_literal(target).unwrap();
        header.set_cksum();
        builder.append(&header, &[][..]).unwrap();
    }
    for (name, bytes) in files {
        let mut header = header(name, bytes.len(), tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Installs an archive as if a client had just downloaded it.
fn install_bytes(package: &Package, archive: &[u8], root: &Path) -> Result<PathBuf, DataError> {
    let place = cache::Place::lock(package, root, &mut || {})?;
    let path = place.downloads()?.join("archive");
    fs::write(&path, archive).unwrap();
    install(package, &path, &place, &mut |_| {})
}

/// Names of the entries of a cache, except the lock.
fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "sample.lock")
        .collect();
    names.sort();
    names
}

#[test]
fn an_honest_archive_is_kept_and_found_again_without_a_client() {
    for (registry, archive) in [(Registry::Npm, tgz(&HONEST, &[])), (Registry::PyPi, zip(&HONEST))]
    {
        let root = tempfile::tempdir().unwrap();
        let package = row(registry, &archive);
        assert_eq!(locate(&package, root.path()), None);
        let folder = install_bytes(&package, &archive, root.path()).unwrap();
        assert_eq!(fs::read(folder.join("deep/b.bin")).unwrap(), b"second");
        assert!(!folder.join("c.bin").exists());
        assert_eq!(names(root.path()), ["sample"]);
        assert_eq!(locate(&package, root.path()), Some(folder.clone()));
        // No client knows `sample-package`, so this would fail if it asked one.
        let mut events = Vec::new();
        let again = fetch(&package, root.path(), &mut |event| events.push(format!("{event:?}")));
        assert_eq!(again.unwrap(), folder);
        assert_eq!(events.len(), 1, "{events:?}");
    }
}

#[test]
fn damage_and_other_versions_are_noticed_and_replaced() {
    let archive = tgz(&HONEST, &[]);
    let root = tempfile::tempdir().unwrap();
    let package = row(Registry::Npm, &archive);
    let folder = install_bytes(&package, &archive, root.path()).unwrap();
    assert_eq!(locate(&Package { version: "1.0.1", ..package }, root.path()), None);
    fs::write(folder.join("a.bin"), b"fir").unwrap();
    assert_eq!(locate(&package, root.path()), None, "a truncated file");
    install_bytes(&package, &archive, root.path()).unwrap();
    assert_eq!(fs::read(folder.join("a.bin")).unwrap(), b"first");
    fs::remove_file(folder.join(".complete")).unwrap();
    assert_eq!(locate(&package, root.path()), None, "no marker");
}

#[test]
fn a_folder_that_was_not_fetched_is_never_replaced() {
    let archive = tgz(&HONEST, &[]);
    let root = tempfile::tempdir().unwrap();
    let package = row(Registry::Npm, &archive);
    let own = root.path().join("sample");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("thesis.txt"), "mine").unwrap();
    let error = install_bytes(&package, &archive, root.path()).unwrap_err().to_string();
    assert!(error.contains("sample: this folder was not fetched"), "{error}");
    assert_eq!(fs::read_to_string(own.join("thesis.txt")).unwrap(), "mine");
    fs::remove_file(own.join("thesis.txt")).unwrap();
    assert_eq!(install_bytes(&package, &archive, root.path()).unwrap(), own, "an empty folder");
}

/// A .deb that contains `files`, built by Debian's own program.
fn deb(files: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join("tree").join(name);
    fs::create_dir_all(at("DEBIAN")).unwrap();
    let control = "Package: sample-package\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n\
                   Description: a test\n";
    fs::write(at("DEBIAN/control"), control).unwrap();
    for (name, bytes) in files {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), bytes).unwrap();
    }
    let out = root.path().join("sample.deb");
    let mut command = std::process::Command::new("dpkg-deb");
    let status =
        command.args(["-Zgzip", "--build"]).arg(root.path().join("tree")).arg(&out).output();
    // A machine of another distribution has no dpkg, and fetches no .deb either.
    Some(status.ok()?).filter(|done| done.status.success()).map(|_| fs::read(out).unwrap())
}

#[test]
fn an_archive_that_swells_is_given_up_while_it_is_unpacked() {
    let zeros = vec![0; 64 << 20];
    let inside = [HONEST[0], HONEST[1], ("package/zeros", &zeros[..])];
    let beside = [HONEST[0], HONEST[1], ("elsewhere/zeros", &zeros[..])];
    let mut archives = vec![
        (Registry::Npm, tgz(&inside, &[])),
        (Registry::Npm, tgz(&beside, &[])),
        (Registry::PyPi, zip(&inside)),
    ];
    archives.extend(deb(&inside).map(|archive| (Registry::Debian, archive)));
    for (registry, archive) in archives {
        let root = tempfile::tempdir().unwrap();
        let package = row(registry, &archive);
        let error = install_bytes(&package, &archive, root.path()).unwrap_err().to_string();
        assert!(error.contains("unpacks to far more"), "{error}");
        assert_eq!(names(root.path()), [""; 0]);
    }
}

#[test]
fn hostile_archives_leave_nothing_behind() {
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().to_str().unwrap().to_owned();
    let absolute = format!("{out}/evil");
    let missing = [HONEST[0]];
    let table: [(&str, Registry, Vec<u8>); 8] = [
        ("missing files", Registry::Npm, tgz(&missing, &[])),
        ("tar traversal", Registry::Npm, tgz(&[("package/../../evil", b"x")], &[])),
        ("tar absolute", Registry::Npm, tgz(&[(&absolute, b"x")], &[])),
        (
            "link, then through it",
            Registry::Npm,
            tgz(&[("package/l/evil", b"x")], &[("package/l", &out)]),
        ),
        ("zip traversal", Registry::PyPi, zip(&[("package/../../evil", b"x")])),
        ("twice the same", Registry::Npm, tgz(&[HONEST[0], HONEST[0]], &[])),
        ("truncated", Registry::Npm, {
            let whole = tgz(&HONEST, &[]);
            whole[..whole.len() / 2].to_vec()
        }),
        ("not a zip file", Registry::PyPi, b"not a zip file".to_vec()),
    ];
    for (what, registry, archive) in table {
        let root = tempfile::tempdir().unwrap();
        let package = row(registry, &archive);
        let error = install_bytes(&package, &archive, root.path()).expect_err(what).to_string();
        assert!(error.lines().count() == 1, "{what}: {error}");
        assert_eq!(names(root.path()), [""; 0], "{what}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{what}");
        assert_eq!(locate(&package, root.path()), None, "{what}");
    }
}

#[test]
fn a_wrong_checksum_names_both_and_removes_the_file() {
    let archive = tgz(&HONEST, &[]);
    let root = tempfile::tempdir().unwrap();
    let mut package = row(Registry::Npm, b"something else");
    let error = install_bytes(&package, &archive, root.path()).unwrap_err().to_string();
    assert!(
        error.contains(sha256(b"something else")) && error.contains(sha256(&archive)),
        "{error}"
    );
    assert_eq!(names(root.path()), [""; 0]);

    package.proof = Proof::Files(&[("a.bin", "00")]);
    let error = install_bytes(&package, &archive, root.path()).unwrap_err();
    assert!(matches!(error, DataError::Checksum { ref file, .. } if file == "a.bin"), "{error}");
}

#[test]
fn an_interrupted_fetch_is_swept_up_and_a_second_process_waits() {
    let archive = tgz(&HONEST, &[]);
    let root = tempfile::tempdir().unwrap();
    let package = row(Registry::Npm, &archive);
    let leftover = root.path().join("sample.partial/unpacked");
    fs::create_dir_all(&leftover).unwrap();
    fs::write(leftover.join("a.bin"), b"fir").unwrap();

    // The lock belongs to the open file, so another thread can stand in for another process.
    let place = cache::Place::lock(&package, root.path(), &mut || {}).unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut progress = |event: FetchEvent<'_>| {
                if event == FetchEvent::Waiting {
                    sender.send(()).unwrap();
                }
            };
            fetch(&package, root.path(), &mut progress)
        });
        receiver.recv().unwrap();
        let path = place.downloads().unwrap().join("archive");
        fs::write(&path, &archive).unwrap();
        let folder = install(&package, &path, &place, &mut |_| {}).unwrap();
        drop(place);
        assert_eq!(second.join().unwrap().unwrap(), folder);
    });
    assert_eq!(names(root.path()), ["sample"]);
}
