//! A pickle machine that builds plain data and descriptions of tensors, and executes nothing.
//!
//! It knows the operations that `torch.save` writes (pickle protocol 2) and the few globals that
//! tensors need. Compound values are stored in tables and refer to each other by index: a copy is
//! cheap, a cycle is harmless, nesting cannot overflow the stack, and memory grows by a few words
//! per byte of input.

use std::collections::{HashMap, HashSet};

use tch::Kind;

use super::global::{Global, Remedy};

/// A value of the pickle; indices refer to the tables of [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A value whose content is never used, with a name for messages.
    Plain(&'static str),
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Tensor(usize),
    Storage(usize),
    Global(Global),
}

/// A file's array of numbers, identified by its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub kind: Kind,
    pub key: &'a str,
    pub numel: i64,
}

/// A view into a storage, as claimed by the pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub storage: Storage<'a>,
    pub offset: i64,
    pub size: usize,
    pub stride: usize,
}

/// The content of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub root: Value<'a>,
    tables: Tables<'a>,
}

#[derive(Debug, Default)]
struct Tables<'a> {
    tuples: Vec<Vec<Value<'a>>>,
    lists: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// The dicts that have a tensor among their values.
    dicts_of_tensors: HashSet<usize>,
    storages: Vec<Storage<'a>>,
    views: Vec<View<'a>>,
}

impl Value<'_> {
    /// What a message calls the value.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Plain(noun) => noun,
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Str(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Tensor(_) => "a tensor",
            Self::Storage(_) => "a storage",
            Self::Global(_) => "a type or function",
        }
    }
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of the bytes, and returns the bytes after it.
    ///
    /// The error says where in `what` reading stopped, and why.
    pub fn parse(what: &str, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), String> {
        let mut machine = Machine { bytes, ..Machine::default() };
        match machine.run() {
            Ok(root) => Ok((Self { root, tables: machine.tables }, &bytes[machine.at..])),
            Err(reason) => Err(format!("{what}, byte {}: {reason}", machine.start)),
        }
    }

    /// All storages in the order of their mention; some occur more than once.
    pub fn storages(&self) -> &[Storage<'a>] {
        &self.tables.storages
    }

    /// The items of a list; `None` for other values.
    pub fn list(&self, value: Value<'_>) -> Option<&[Value<'a>]> {
        let Value::List(index) = value else { return None };
        Some(&self.tables.lists[index])
    }

    /// The entries of a dict in the order they were set; `None` for other values.
    pub fn dict(&self, value: Value<'_>) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Value::Dict(index) = value else { return None };
        Some(&self.tables.dicts[index])
    }

    /// Whether the value is a dict with a tensor among its values.
    pub fn holds_tensors(&self, value: Value<'_>) -> bool {
        matches!(value, Value::Dict(index) if self.tables.dicts_of_tensors.contains(&index))
    }

    /// A tensor's view; `None` for other values.
    pub fn view(&self, value: Value<'_>) -> Option<View<'a>> {
        let Value::Tensor(index) = value else { return None };
        Some(self.tables.views[index])
    }

    /// The numbers of a view's size or stride; `None` if it contains anything else.
    pub fn ints(&self, tuple: usize) -> Option<Vec<i64>> {
        let int = |value: &Value<'_>| if let Value::Int(int) = *value { Some(int) } else { None };
        self.tables.tuples[tuple].iter().map(int).collect()
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Start of the current operation.
    start: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack; nothing below the last one is popped.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    tables: Tables<'a>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value<'a>, String> {
        if self.array()? != *b"\x80\x02" {
            return Err(
                "pickle protocol 2 is needed, which torch.save writes without the argument \
                 `pickle_protocol`"
                    .into(),
            );
        }
        loop {
            self.start = self.at;
            let value = match self.byte()? {
                b'.' => return self.pop().map(|[value]| value),
                b'N' => Value::Plain("None"),
                b'\x88' => Value::Bool(true),
                b'\x89' => Value::Bool(false),
                b'G' => self.take(8).map(|_| Value::Plain("a float"))?,
                b'K' => Value::Int(self.byte()?.into()),
                b'M' => Value::Int(self.array().map(u16::from_le_bytes)?.into()),
                b'J' => Value::Int(self.array().map(i32::from_le_bytes)?.into()),
                b'\x8a' => {
                    let length = self.byte()?;
                    long(self.take(length.into())?)
                }
                b'X' => {
                    let length = self.u32()?;
                    Value::Str(text(self.take(length as usize)?)?)
                }
                b')' => self.tuple(Vec::new()),
                b'\x85' => self.pop().map(|items: [_; 1]| self.tuple(items.into()))?,
                b'\x86' => self.pop().map(|items: [_; 2]| self.tuple(items.into()))?,
                b'\x87' => self.pop().map(|items: [_; 3]| self.tuple(items.into()))?,
                b't' => self.pop_to_mark().map(|items| self.tuple(items))?,
                b']' => Value::List(add(&mut self.tables.lists, Vec::new())),
                b'}' => self.dict(),
                b'h' => self.byte().and_then(|slot| self.recall(slot.into()))?,
                b'j' => self.u32().and_then(|slot| self.recall(slot))?,
                b'c' => {
                    let [module, name] = [text(self.line()?)?, text(self.line()?)?];
                    Value::Global(Global::find(module, name, self.remedy())?)
                }
                b'Q' => self.pop().and_then(|[id]| self.storage(id))?,
                b'R' => self.pop().and_then(|[function, tuple]| self.call(function, tuple))?,
                other => {
                    self.change(other)?;
                    continue;
                }
            };
            self.stack.push(value);
        }
    }

    /// Performs an operation that pushes nothing: marks, memoizes, fills lists and dicts.
    fn change(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            b'(' => self.marks.push(self.stack.len()),
            b'q' => self.byte().and_then(|slot| self.memoize(slot.into()))?,
            b'r' => self.u32().and_then(|slot| self.memoize(slot))?,
            b'a' => self.pop::<1>().and_then(|item| self.append(&item))?,
            b'e' => self.pop_to_mark().and_then(|items| self.append(&items))?,
            // An OrderedDict's attributes, such as a module's `_metadata`, are not used.
            b'b' => self.pop::<1>().and_then(|_| self.set_items(&[]))?,
            b's' => self.pop::<2>().and_then(|pair| self.set_items(&pair))?,
            b'u' => self.pop_to_mark().and_then(|pairs| self.set_items(&pairs))?,
            other => return Err(damaged(&format!("operation {other:#04x} is unknown"))),
        }
        Ok(())
    }

    /// How the tensors could be saved alone, given what has been read of the file.
    fn remedy(&self) -> Remedy<'a> {
        // A dict's items wait on the stack, from its mark to the next one.
        let items = match *self.marks.as_slice() {
            [1, end, ..] => &self.stack[1..end],
            [1] => &self.stack[1..],
            _ => &[],
        };
        let key = items.as_chunks::<2>().0.iter().find_map(|item| match *item {
            [Value::Str(key), Value::Dict(dict)] => {
                self.tables.dicts_of_tensors.contains(&dict).then_some(key)
            }
            _ => None,
        });
        match key {
            Some(key) => Remedy::Key(key),
            None if self.stack.is_empty() => Remedy::StateDict,
            None => Remedy::Unknown,
        }
    }

    /// "Calls" one of the supported functions.
    fn call(&mut self, function: Value<'a>, tuple: Value<'a>) -> Result<Value<'a>, String> {
        let (Value::Global(global), Value::Tuple(tuple)) = (function, tuple) else {
            return Err(damaged("calls something that is not a function"));
        };
        use Value::{Int, Storage, Tensor, Tuple};
        match (global, self.tables.tuples[tuple].as_slice()) {
            (Global::OrderedDict, []) => Ok(self.dict()),
            (Global::RebuildParameter, &[tensor @ Tensor(_), _, _]) => Ok(tensor),
            // `requires_grad` and autograd's hooks follow the view.
            (
                Global::RebuildTensor,
                &[Storage(storage), Int(offset), Tuple(size), Tuple(stride)],
            )
            | (
                Global::RebuildTensorV2,
                &[Storage(storage), Int(offset), Tuple(size), Tuple(stride), _, _],
            ) => {
                let storage = self.tables.storages[storage];
                let view = View { storage, offset, size, stride };
                Ok(Tensor(add(&mut self.tables.views, view)))
            }
            _ => Err(format!("the arguments of {global:?} are not those of plain data")),
        }
    }

    fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>, String> {
        use Global::StorageType;
        let Value::Tuple(tuple) = id else {
            return Err(damaged("a storage's name is not a tuple"));
        };
        // The storage's device precedes its length; in files before the zip format, its part
        // follows.
        let &[
            Value::Str("storage"),
            Value::Global(StorageType(kind)),
            Value::Str(key),
            Value::Str(_),
            Value::Int(numel),
            ref part @ ..,
        ] = self.tables.tuples[tuple].as_slice()
        else {
            return Err(damaged("a storage lacks its type, key or length"));
        };
        if !matches!(part, [] | [Value::Plain("None")]) {
            return Err(format!(
                "storage {key} is part of another, as PyTorch before 0.4 wrote it; torch.load and \
                 torch.save it again in a newer PyTorch"
            ));
        }
        Ok(Value::Storage(add(&mut self.tables.storages, Storage { kind, key, numel })))
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        Value::Tuple(add(&mut self.tables.tuples, items))
    }

    fn dict(&mut self) -> Value<'a> {
        Value::Dict(add(&mut self.tables.dicts, Vec::new()))
    }

    fn set_items(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(damaged("a key has no value"));
        };
        let Some(&Value::Dict(index)) = self.stack.last() else {
            return Err(damaged("sets an item of something that is not a dict"));
        };
        if pairs.iter().any(|[_, value]| matches!(value, Value::Tensor(_))) {
            self.tables.dicts_of_tensors.insert(index);
        }
        self.tables.dicts[index].extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn append(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let Some(&Value::List(index)) = self.stack.last() else {
            return Err(damaged("appends to something that is not a list"));
        };
        self.tables.lists[index].extend(items);
        Ok(())
    }

    fn pop<const N: usize>(&mut self) -> Result<[Value<'a>; N], String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let Some(&items) = self.stack[floor..].last_chunk() else {
            return Err(damaged("the stack is empty"));
        };
        self.stack.truncate(self.stack.len() - N);
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let height = self.marks.pop().ok_or_else(|| damaged("no mark is set"))?;
        Ok(self.stack.split_off(height))
    }

    fn memoize(&mut self, slot: u32) -> Result<(), String> {
        let &value = self.stack.last().ok_or_else(|| damaged("the stack is empty"))?;
        match self.memo.insert(slot, value) {
            None => Ok(()),
            Some(_) => Err(damaged(&format!("memo {slot} is written twice"))),
        }
    }

    fn recall(&mut self, slot: u32) -> Result<Value<'a>, String> {
        let value = self.memo.get(&slot).copied();
        value.ok_or_else(|| damaged(&format!("memo {slot} was never written")))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken =
            self.bytes[self.at..].get(..count).ok_or_else(|| damaged("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N).map(|bytes| bytes.try_into().expect("N bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let end = self.bytes[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or_else(|| damaged("a line has no end"))?)?;
        self.at += 1;
        Ok(line)
    }
}

/// A little-endian two's complement number of up to 255 bytes.
fn long<'a>(bytes: &[u8]) -> Value<'a> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    match whole.get_mut(..bytes.len()) {
        Some(low) => {
            low.copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(whole))
        }
        None => Value::Plain("an integer beyond 64 bits"),
    }
}

fn add<T>(table: &mut Vec<T>, item: T) -> usize {
    table.push(item);
    table.len() - 1
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| damaged("a string is not UTF-8"))
}

/// The message for a file that cannot be as it was written.
pub(super) fn damaged(what: &str) -> String {
    format!("{what}; the file is damaged, fetch or write it again")
}
