//! A launcher's environment variables.

use std::time::Duration;

use super::RanksError;

/// Default number of seconds that a rank waits for the others: rank 0 can be writing a checkpoint
/// or measuring meanwhile.
const TIMEOUT: usize = 1800;

/// Maximum number of these seconds: a year.
const LONGEST: usize = 365 * 24 * 3600;

/// A process's rank among those started with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// The number of this process, from 0: `RANK`, or `SLURM_PROCID`.
    pub rank: usize,
    /// The number of processes: `WORLD_SIZE`, or `SLURM_STEP_NUM_TASKS`.
    pub count: usize,
    /// The host of the rendezvous: `MASTER_ADDR`.
    pub host: String,
    /// The port of the rendezvous: `MASTER_PORT`.
    pub port: u16,
    /// Whether this process serves the rendezvous: rank 0, unless torchrun does.
    pub serves: bool,
    /// Keeps one start of the processes apart from an earlier one at the same rendezvous.
    pub attempt: String,
    /// How long to wait for the others, here and in each step: `BAUTA_RANKS_TIMEOUT`, in seconds.
    pub timeout: Duration,
    /// Number of threads of this process if the run is to use every core: its share of the
    /// machine's cores, by `LOCAL_WORLD_SIZE`; 0 for all cores.
    pub threads: usize,
}

impl Variables {
    /// Reads the variables with `get`; `None` if the process was started alone.
    ///
    /// torchrun sets `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`. Under
    /// srun, where a job script sets the last two, rank and count are SLURM's own. The job script
    /// itself is no step of srun's, though it has some of SLURM's variables.
    ///
    /// # Errors
    /// [`RanksError::Variables`] when variables are missing, not numbers, or contradictory, and
    /// when srun started several processes that do not know how to meet.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, RanksError> {
        let step = get("SLURM_STEP_NUM_TASKS");
        let asked = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"];
        if asked.iter().all(|name| get(name).is_none()) {
            return match step.filter(|tasks| tasks != "1") {
                Some(tasks) => Err(refuse(format!(
                    "srun started {tasks} processes, but MASTER_ADDR and MASTER_PORT are not set, \
                     so that each would train alone; set both in the job script, or unset \
                     SLURM_STEP_NUM_TASKS if each is to make a run of its own"
                ))),
                None => Ok(None),
            };
        }
        let slurm = get("RANK").is_none() && get("WORLD_SIZE").is_none() && step.is_some();
        let [rank, count] = match slurm {
            true => ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
            false => ["RANK", "WORLD_SIZE"],
        };
        let outside = step.is_none() && get("SLURM_JOB_ID").is_some();
        let start = if outside { "start the program with srun, or " } else { "" };
        let text = |name: &str| {
            let missing = || {
                let others = "RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT";
                refuse(format!(
                    "{name} is not set; several processes need {others}, as torchrun sets them; \
                     {start}unset all of them to train with one process"
                ))
            };
            get(name).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let number = |name: &str, value: &str| {
            value.parse::<usize>().map_err(|_| {
                refuse(format!("{name} is \"{value}\"; it must be a whole number of 0 or more"))
            })
        };
        let required = |name: &str| number(name, &text(name)?);
        let optional = |name: &str| get(name).map(|value| number(name, &value)).transpose();
        let (rank_name, count_name) = (rank, count);
        let (rank, count) = (required(rank)?, required(count)?);
        if rank >= count {
            return Err(refuse(format!(
                "{rank_name} is {rank} and {count_name} is {count}; ranks are numbered from 0 and \
                 stay below the number of processes"
            )));
        }
        let here = optional("LOCAL_WORLD_SIZE")?.unwrap_or(1);
        if here == 0 || here > count {
            return Err(refuse(format!(
                "LOCAL_WORLD_SIZE is {here} and {count_name} is {count}; it must be at least 1 and \
                 at most the number of processes"
            )));
        }
        if let Some(local) = optional("LOCAL_RANK")?.filter(|&local| local >= count) {
            return Err(refuse(format!(
                "LOCAL_RANK is {local} and {count_name} is {count}; it must be below the number of \
                 processes"
            )));
        }
        let port = text("MASTER_PORT")?;
        let port = port.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(|| {
            refuse(format!("MASTER_PORT is \"{port}\"; it must be a port, 1 to 65535"))
        })?;
        let seconds = optional("BAUTA_RANKS_TIMEOUT")?.unwrap_or(TIMEOUT);
        if !(1..=LONGEST).contains(&seconds) {
            return Err(refuse(format!(
                "BAUTA_RANKS_TIMEOUT is {seconds}; it must be at least 1 second and at most {LONGEST}"
            )));
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let agent = get("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True");
        Ok(Some(Self {
            rank,
            count,
            host: text("MASTER_ADDR")?,
            port,
            serves: rank == 0 && !agent,
            attempt: format!("bauta/{}", optional("TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0)),
            timeout: Duration::from_secs(seconds as u64),
            threads: if here > 1 { (cores / here).max(1) } else { 0 },
        }))
    }
}

fn refuse(what: String) -> RanksError {
    RanksError::Variables(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<Variables>, RanksError> {
        let find = |name: &str| set.iter().find(|(known, _)| *known == name);
        Variables::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    const MASTER: [(&str, &str); 2] = [("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")];

    fn with(set: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        [&MASTER[..], set].concat()
    }

    #[test]
    fn launchers_are_understood() {
        // A job script's own process, and a step of one.
        let script = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2")];
        assert_eq!(read(&script).unwrap(), None);
        assert_eq!(read(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]).unwrap(), None);
        let torchrun = with(&[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")]);
        let plain = read(&torchrun).unwrap().unwrap();
        assert!(plain.serves && plain.count == 2 && plain.port == 29500);
        let agent = [("TORCHELASTIC_USE_AGENT_STORE", "True"), ("TORCHELASTIC_RESTART_COUNT", "3")];
        let elastic = read(&[&torchrun[..], &agent].concat()).unwrap().unwrap();
        assert!(!elastic.serves && elastic.attempt.ends_with("/3"));
        let slurm = read(&with(&[("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "4")]));
        let slurm = slurm.unwrap().unwrap();
        assert_eq!((slurm.rank, slurm.count, slurm.serves), (1, 4, false));
    }

    #[test]
    fn what_is_missing_or_contradicts_is_refused_by_name() {
        let cases: [(&[(&str, &str)], &str); 10] = [
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), MASTER[0]], "MASTER_PORT is not set"),
            (&with(&[("RANK", "1")]), "WORLD_SIZE is not set"),
            (&with(&[]), "RANK is not set"),
            (&with(&[("RANK", "2"), ("WORLD_SIZE", "2")]), "RANK is 2 and WORLD_SIZE is 2"),
            (&with(&[("RANK", "one"), ("WORLD_SIZE", "2")]), "RANK is \"one\""),
            (
                &with(&[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "3")]),
                "LOCAL_WORLD_SIZE is 3",
            ),
            (
                &with(&[("RANK", "0"), ("WORLD_SIZE", "2"), ("BAUTA_RANKS_TIMEOUT", "0")]),
                "BAUTA_RANKS_TIMEOUT is 0",
            ),
            (
                &with(&[("RANK", "0"), ("WORLD_SIZE", "1"), ("BAUTA_RANKS_TIMEOUT", "31536001")]),
                "BAUTA_RANKS_TIMEOUT is 31536001",
            ),
            (
                &[("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2")],
                "srun started 2 processes, but MASTER_ADDR and MASTER_PORT are not set",
            ),
            (
                &with(&[("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2")]),
                "RANK is not set; several processes need RANK, WORLD_SIZE, MASTER_ADDR and \
                 MASTER_PORT, as torchrun sets them; start the program with srun",
            ),
        ];
        for (set, wanted) in cases {
            let error = read(set).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
