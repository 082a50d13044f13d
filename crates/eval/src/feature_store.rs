//! Computing a split's features with several processes, and storing them while they are measured.
//!
//! Several processes encode a split together, each a range of consecutive batches. Rank 0 gets them
//! in the split's order over the connections of training, which report a rank that fails and do not
//! need a shared file system. Features that take more than a limit are stored in a memory-mapped
//! file: the system reads pages on demand and drops them when memory is short. The file is unlinked
//! once it is mapped, so it disappears with the last use of the features.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use bauta_data::Share;
use bauta_train::{Ranks, RanksError};
use tch::{Device, Kind, Tensor};
use tempfile::NamedTempFile;

use crate::{EncodedSplit, EvalError};

/// Rows that are sent at once.
const HANDED_ON: usize = 4096;

/// The processes that compute a split's features, and where they are stored.
#[derive(Clone, Debug)]
pub struct FeatureStore {
    ranks: Ranks,
    in_memory: u64,
    folder: PathBuf,
}

impl Default for FeatureStore {
    /// One process, which keeps all features in memory.
    fn default() -> Self {
        Self::new(u64::MAX, PathBuf::new())
    }
}

impl FeatureStore {
    /// Keeps a split's features in memory or, above `in_memory` bytes, in a file in `folder`, whose
    /// name ends in `.partial` until it is unlinked.
    pub fn new(in_memory: u64, folder: impl Into<PathBuf>) -> Self {
        Self { ranks: Ranks::alone(), in_memory, folder: folder.into() }
    }

    /// Lets several processes compute the features; all must measure the same in the same order,
    /// and only rank 0 has the features in the end.
    pub fn among(self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self }
    }

    /// The range of `all` batches that this process encodes.
    pub(crate) fn batches(&self, all: u64) -> Range<u64> {
        consecutive(self.ranks.share(), all)
    }

    /// An empty list of rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { store: self, width: 0, samples: 0, held: Vec::new(), file: None }
    }

    /// Gathers the rows and labels of all ranks on rank 0, in order; `None` on the others.
    pub(crate) fn gather<'a>(
        &'a self,
        mut rows: Rows<'a>,
        mut labels: Vec<i64>,
    ) -> Result<Option<EncodedSplit>, EvalError> {
        let Share { rank, of } = self.ranks.share();
        let own = match rank > 0 && rows.samples > 0 {
            true => Some(std::mem::replace(&mut rows, self.rows()).finish()?),
            false => None,
        };
        for owner in 1..of {
            let mut begin = 0;
            loop {
                let mine = own.as_ref().filter(|_| owner == rank && begin < labels.len());
                let mine = mine.map(|own| {
                    let end = labels.len().min(begin + HANDED_ON);
                    // Exact in single precision, since class numbers are below 2²⁴.
                    let labels = Tensor::from_slice(&labels[begin..end]).to_kind(Kind::Float);
                    let rows = own.narrow(0, begin as i64, (end - begin) as i64);
                    Tensor::cat(&[rows, labels.unsqueeze(1)], 1)
                });
                let size = mine.as_ref().map_or_else(|| vec![0, 0], Tensor::size);
                let size = Tensor::from_slice(&size).to_kind(Kind::Float);
                let size = self.told(owner, &[2], Some(&size).filter(|_| owner == rank))?;
                let [count, columns] = [0, 1].map(|at| size.double_value(&[at]) as i64);
                if count == 0 {
                    break;
                }
                let block = self.told(owner, &[count, columns], mine.as_ref())?;
                if rank == 0 {
                    rows.push(block.narrow(1, 0, columns - 1).contiguous())?;
                    let theirs = block.select(1, columns - 1).to_kind(Kind::Int64);
                    labels.extend(Vec::<i64>::try_from(theirs).expect("a row of i64"));
                }
                begin += count as usize;
            }
        }
        if rank > 0 {
            return Ok(None);
        }
        Ok(Some(EncodedSplit::new(rows.finish()?, Tensor::from_slice(&labels))?))
    }

    /// The tensor of `owner`, on all ranks.
    fn told(
        &self,
        owner: usize,
        shape: &[i64],
        own: Option<&Tensor>,
    ) -> Result<Tensor, RanksError> {
        let mut told = own.map(Tensor::shallow_clone);
        let give = |_| own.map(Tensor::shallow_clone).expect("the owner has it");
        let receive = |_, theirs: Tensor| told = Some(theirs.copy());
        self.ranks.hand_on(&[(owner, shape.to_vec())], give, receive)?;
        Ok(told.expect("it is own or was received"))
    }
}

/// This rank's part of 0..`all`: consecutive, and equal up to rounding.
fn consecutive(Share { rank, of }: Share, all: u64) -> Range<u64> {
    let begin = |rank: usize| all * rank as u64 / of as u64;
    begin(rank)..begin(rank + 1)
}

/// Features [N, D] in single precision, collected block by block.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    store: &'a FeatureStore,
    width: i64,
    samples: i64,
    held: Vec<Tensor>,
    file: Option<NamedTempFile>,
}

impl Rows<'_> {
    /// Adds rows [B, D] of the same width as earlier rows.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the file cannot be written.
    pub(crate) fn push(&mut self, rows: Tensor) -> Result<(), EvalError> {
        self.width = rows.size()[1];
        self.samples += rows.size()[0];
        self.held.push(rows);
        match self.file.is_some() || self.held_bytes() > self.store.in_memory {
            true => self.write_held(),
            false => Ok(()),
        }
    }

    /// Bytes that are held in memory.
    fn held_bytes(&self) -> u64 {
        self.held.iter().map(|rows| (rows.numel() * size_of::<f32>()) as u64).sum()
    }

    /// Moves the rows held in memory to the file.
    fn write_held(&mut self) -> Result<(), EvalError> {
        let refuse = |source| EvalError::Write { path: self.store.folder.clone(), source };
        if self.file.is_none() {
            let named = tempfile::Builder::new().prefix("features-").suffix(".partial").to_owned();
            self.file = Some(named.tempfile_in(&self.store.folder).map_err(refuse)?);
        }
        let file = self.file.as_mut().expect("it was made above");
        for rows in self.held.drain(..) {
            let mut bytes = vec![0; rows.numel() * size_of::<f32>()];
            rows.to_device(Device::Cpu).contiguous().copy_data_u8(&mut bytes, rows.numel());
            file.write_all(&bytes).map_err(refuse)?;
        }
        Ok(())
    }

    /// All rows, [N, D]; on the CPU if they are in a file.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when there are none, and errors of the file.
    pub(crate) fn finish(self) -> Result<Tensor, EvalError> {
        if self.samples == 0 {
            let (found, expected) = (vec![0], "at least one batch".to_owned());
            return Err(EvalError::Shape { what: "features", found, expected });
        }
        let Some(file) = self.file else { return Ok(Tensor::cat(&self.held, 0)) };
        let refuse = |reason: String| {
            let source = std::io::Error::other(reason);
            EvalError::Read { path: file.path().to_owned(), source }
        };
        let path = file.path().to_str().ok_or_else(|| refuse("its path is not UTF-8".into()))?;
        // Shared, so that the system does not count it as memory of the process. It is not written.
        let (numbers, options) = (self.samples * self.width, (Kind::Float, Device::Cpu));
        let mapped = Tensor::f_from_file(path, true, numbers, options)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(mapped.view([self.samples, self.width]))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn batch(place: i64) -> Tensor {
        Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]) + 10.0 * place as f64
    }

    #[test]
    fn rows_beyond_the_limit_lie_in_a_file_and_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let wanted = Tensor::cat(&[batch(0), batch(1), batch(2), batch(3)], 0);
        // A batch takes 24 bytes.
        for (limit, most) in [(u64::MAX, 96), (96, 96), (50, 48), (0, 0)] {
            let store = FeatureStore::new(limit, folder.path());
            let mut rows = store.rows();
            for place in 0..4 {
                rows.push(batch(place)).unwrap();
                assert!(rows.held_bytes() <= most, "{} are held", rows.held_bytes());
            }
            assert_eq!(names(), usize::from(limit < 96), "a file with a limit of {limit}");
            let whole = rows.finish().unwrap();
            assert_eq!(names(), 0, "the file has lost its name");
            assert_eq!(whole, wanted);
        }
    }

    #[test]
    fn what_is_given_up_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FeatureStore::new(0, folder.path());
        let mut rows = store.rows();
        rows.push(batch(0)).unwrap();
        drop(rows);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(matches!(store.rows().finish(), Err(EvalError::Shape { .. })));
        let nowhere = FeatureStore::new(0, folder.path().join("none"));
        let error = nowhere.rows().push(batch(0)).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("none"), "{error}");
    }

    #[test]
    fn ranks_divide_the_batches() {
        let parts = |of: usize, all| (0..of).map(move |rank| consecutive(Share { rank, of }, all));
        assert_eq!(parts(3, 7).collect::<Vec<_>>(), [0..2, 2..4, 4..7]);
        assert_eq!(parts(3, 1).collect::<Vec<_>>(), [0..0, 0..0, 0..1]);
        assert_eq!(FeatureStore::default().batches(7), 0..7);
    }
}
