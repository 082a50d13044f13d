//! One folder per task: the folders and their order.

use std::path::{Path, PathBuf};

use bauta_datasets::DataError;

use crate::source::listing::entries;

/// The folders in `root`, except hidden ones, in the order of their names.
///
/// If all names have a number after the same prefix (`task-1`, `task-2 animals`), they are in the
/// order of the numbers: 10 comes after 9.
///
/// # Errors
/// [`DataError::Absent`] when there are none (`inside` describes the contents of one), and
/// [`DataError::Malformed`] for numbers that start from 0 or 1 and have a gap or a duplicate.
pub(crate) fn task_folders(root: &Path, inside: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = folders_of(root)?;
    if folders.is_empty() {
        return Err(DataError::Absent {
            path: root.to_owned(),
            wanted: "folders".to_owned(),
            remedy: format!("make one for each task, with {inside}"),
        });
    }
    let numbered: Vec<Option<(String, u64)>> = folders.iter().map(|path| number(path)).collect();
    let numbered: Option<Vec<(String, u64)>> = numbered.into_iter().collect();
    let Some(numbered) = numbered.filter(|all| all.iter().all(|(begin, _)| *begin == all[0].0))
    else {
        return Ok(folders);
    };
    let mut order: Vec<(u64, PathBuf)> =
        numbered.into_iter().map(|(_, number)| number).zip(folders).collect();
    order.sort();
    let first = order[0].0;
    if first <= 1 {
        for (wanted, (found, path)) in (first..).zip(&order) {
            let problem = match found.cmp(&wanted) {
                std::cmp::Ordering::Equal => continue,
                std::cmp::Ordering::Greater => {
                    format!("task {wanted} is missing before it; number the tasks without a gap")
                }
                std::cmp::Ordering::Less => "another task has the same number".to_owned(),
            };
            return Err(DataError::malformed(path, problem));
        }
    }
    folders = order.into_iter().map(|(_, path)| path).collect();
    Ok(folders)
}

/// The folders in a folder by name, except hidden ones and those of macOS's zip files.
pub(crate) fn folders_of(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(root)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The text before the first number in a folder's name, and the number.
fn number(path: &Path) -> Option<(String, u64)> {
    let name = path.file_name()?.to_str()?;
    let begin = name.find(|c: char| c.is_ascii_digit())?;
    let digits = &name[begin..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    Some((name[..begin].to_owned(), digits[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn order(names: &[&str]) -> Result<Vec<String>, String> {
        let root = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
        fs::write(root.path().join("readme.txt"), "").unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        task_folders(root.path(), "its classes")
            .map(|folders| folders.iter().map(name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_the_order_and_leave_no_gap() {
        let names = |names: &[&str]| Ok(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(order(&["b", "a", ".git", "__MACOSX"]), names(&["a", "b"]));
        assert_eq!(order(&["10", "9", "8", "7", "6", "5", "4", "3", "2", "1"]).unwrap()[9], "10");
        let mixed = ["task-1 cats", "task-0", "task-2"];
        assert_eq!(order(&mixed), names(&["task-0", "task-1 cats", "task-2"]));
        // Years can have gaps; numbers after different prefixes are parts of names.
        assert_eq!(order(&["2021", "2019"]), names(&["2019", "2021"]));
        assert_eq!(order(&["b 1", "a 3"]), names(&["a 3", "b 1"]));
        assert!(
            order(&["1", "3"])
                .unwrap_err()
                .ends_with("3: task 2 is missing before it; number the tasks without a gap")
        );
        assert!(order(&["1 a", "1 b"]).unwrap_err().contains("another task has the same number"));
        assert!(order(&[]).unwrap_err().contains("make one for each task, with its classes"));
    }
}
