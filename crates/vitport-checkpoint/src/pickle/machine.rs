//! The loop: one instruction after the other, a stack, marks, a memo.

use super::arena::{Arena, Value};
use super::memo::Memo;
use super::nodes::{Entries, New};
use super::persistent::PersistentIds;
use super::{literals, opcode as op, text};
use crate::error::{Fault, Reason, refuse};
use crate::source::Stream;

/// Gives the values that a stack has space for at first.
const LOW_STACK: usize = 64;

/// Describes the machine while it runs one pickle.
pub(crate) struct Machine<'r, 's> {
    pub(crate) stream: &'r mut Stream<'s>,
    pub(crate) arena: &'r mut Arena,
    pub(super) ids: &'r PersistentIds,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Memo,
}

/// Runs one pickle from the stream up to its `STOP` and returns what it leaves.
pub(crate) fn load(stream: &mut Stream<'_>, arena: &mut Arena, ids: &PersistentIds) -> Result<Value, Fault> {
    let (stack, marks, memo) = (Vec::new(), Vec::new(), Memo::default());
    let mut machine = Machine { stream, arena, ids, stack, marks, memo };
    for _ in 0..machine.arena.limits.max_pickle_steps {
        if let Some(value) = machine.step()? {
            return Ok(value);
        }
    }
    refuse(Reason::Limit, "the pickle has more instructions than the limit allows")
}

impl Machine<'_, '_> {
    /// Runs one instruction; `Some` at `STOP`.
    fn step(&mut self) -> Result<Option<Value>, Fault> {
        let opcode = self.stream.byte()?;
        match opcode {
            op::STOP => return self.pop().map(Some),
            op::PROTO => self.proto()?,
            op::FRAME => drop(self.stream.array::<8>()?),
            op::MARK => self.mark()?,
            op::POP => self.pop_or_unmark()?,
            op::POP_MARK => drop(self.pop_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.push(top)?;
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(opcode)?,
            op::GET | op::BINGET | op::LONG_BINGET => self.get(opcode)?,
            op::NONE => self.push(Value::None)?,
            op::NEWTRUE => self.push(Value::Bool(true))?,
            op::NEWFALSE => self.push(Value::Bool(false))?,
            op::INT | op::BININT | op::BININT1 | op::BININT2 | op::LONG | op::LONG1 | op::LONG4 => {
                let number = self.whole_number(opcode)?;
                self.push(number)?;
            }
            op::FLOAT => {
                let line = self.stream.line(literals::LINE)?;
                let number = literals::float(self.arena, &line)?;
                self.push(number)?;
            }
            op::BINFLOAT => {
                let number = f64::from_be_bytes(self.stream.array()?);
                let number = self.arena.add_float(number)?;
                self.push(number)?;
            }
            op::STRING
            | op::BINSTRING
            | op::SHORT_BINSTRING
            | op::BINBYTES
            | op::SHORT_BINBYTES
            | op::BINBYTES8
            | op::BYTEARRAY8 => {
                let string = self.byte_string(opcode)?;
                self.push(string)?;
            }
            op::UNICODE | op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => {
                let string = self.text_string(opcode)?;
                self.push(string)?;
            }
            op::EMPTY_LIST => self.push_node(New::List(Vec::new()))?,
            op::EMPTY_TUPLE => self.tuple(0)?,
            op::EMPTY_DICT => self.push_node(New::Dict(Entries::new()))?,
            op::EMPTY_SET => self.push_node(New::Set(Vec::new()))?,
            op::LIST => self.collect(New::List)?,
            op::TUPLE => self.marked_tuple()?,
            op::FROZENSET => self.collect(New::Set)?,
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::DICT => self.dict()?,
            op::APPEND => self.last(1).and_then(|begin| self.append(begin))?,
            op::APPENDS | op::ADDITEMS => self.unmark().and_then(|begin| self.append(begin))?,
            op::SETITEM => self.last(2).and_then(|begin| self.set_items(begin))?,
            op::SETITEMS => self.unmark().and_then(|begin| self.set_items(begin))?,
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode)?,
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::INST | op::OBJ => self.call(opcode)?,
            op::BUILD => self.build()?,
            op::PERSID | op::BINPERSID => self.persistent_id(opcode)?,
            op::EXT1 | op::EXT2 | op::EXT4 => {
                return refuse(Reason::Unsupported, "the pickle uses Python's extension registry");
            }
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                return refuse(Reason::Unsupported, "the pickle keeps its data in buffers outside of itself");
            }
            other => {
                let at = self.stream.position().saturating_sub(1);
                return refuse(
                    Reason::Malformed,
                    format!("byte 0x{other:02x} at offset {at} is no pickle instruction"),
                );
            }
        }
        Ok(None)
    }

    fn proto(&mut self) -> Result<(), Fault> {
        let protocol = self.stream.byte()?;
        if protocol > 5 {
            return refuse(Reason::Unsupported, format!("pickle protocol {protocol} is not known"));
        }
        self.arena.protocol = self.arena.protocol.max(Some(protocol));
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.stack.len() == self.stack.capacity() {
            self.widen_stack()?;
        }
        self.stack.push(value);
        Ok(())
    }

    /// Makes space for twice as many values, and accounts for it.
    #[cold]
    fn widen_stack(&mut self) -> Result<(), Fault> {
        let more = self.stack.capacity().max(LOW_STACK);
        self.arena.charge(more.saturating_mul(size_of::<Value>()))?;
        self.stack.reserve_exact(more);
        Ok(())
    }

    pub(super) fn push_node(&mut self, node: New<'_>) -> Result<(), Fault> {
        let value = self.arena.add(node, 0)?;
        self.push(value)
    }

    /// Takes the topmost value; what lies below the last mark cannot be reached.
    pub(super) fn pop(&mut self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return self.underflow();
        }
        match self.stack.pop() {
            Some(value) => Ok(value),
            None => self.underflow(),
        }
    }

    pub(super) fn top(&self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..).and_then(<[Value]>::last) {
            Some(&value) => Ok(value),
            None => self.underflow(),
        }
    }

    fn underflow<T>(&self) -> Result<T, Fault> {
        refuse(
            Reason::Malformed,
            format!(
                "the pickle takes more from its stack than is there, before offset {}",
                self.stream.position()
            ),
        )
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.arena.charge(size_of::<usize>() * 2)?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Takes a value at `POP`, or the mark when nothing lies above it.
    fn pop_or_unmark(&mut self) -> Result<(), Fault> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let floor = self.unmark()?;
        Ok(self.stack.split_off(floor))
    }

    /// Takes the last mark: the height that the stack had when it was set.
    fn unmark(&mut self) -> Result<usize, Fault> {
        match self.marks.pop() {
            Some(floor) if floor <= self.stack.len() => Ok(floor),
            _ => refuse(Reason::Malformed, "the pickle refers to a mark that it has not set"),
        }
    }

    fn put(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = match opcode {
            op::BINPUT => self.stream.byte()?.into(),
            op::LONG_BINPUT => u32::from_le_bytes(self.stream.array()?).into(),
            op::MEMOIZE => self.memo.next(),
            _ => self.slot()?,
        };
        let top = self.top()?;
        self.memo.put(self.arena, slot, top)
    }

    fn get(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = match opcode {
            op::BINGET => self.stream.byte()?.into(),
            op::LONG_BINGET => u32::from_le_bytes(self.stream.array()?).into(),
            _ => self.slot()?,
        };
        let value = self.memo.get(slot)?;
        self.push(value)
    }

    /// Reads the decimal slot number of `PUT` and `GET`.
    fn slot(&mut self) -> Result<u64, Fault> {
        let line = self.stream.line(32)?;
        match std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse().ok()) {
            Some(slot) => Ok(slot),
            None => refuse(Reason::Malformed, "the pickle stores a value under something that is no number"),
        }
    }

    fn whole_number(&mut self, opcode: u8) -> Result<Value, Fault> {
        Ok(match opcode {
            op::BININT => Value::Int(i32::from_le_bytes(self.stream.array()?)),
            op::BININT1 => Value::Int(self.stream.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.stream.array()?).into()),
            op::LONG1 => {
                let len = self.stream.byte()?;
                let bytes = self.stream.take(len.into())?;
                literals::long(self.arena, &bytes)?
            }
            op::LONG4 => {
                let len = u32::from_le_bytes(self.stream.array()?);
                self.arena.charge(len as usize)?;
                let bytes = self.stream.take(len.into())?;
                literals::long(self.arena, &bytes)?
            }
            _ => {
                let line = self.stream.line(literals::LINE)?;
                literals::decimal(self.arena, &line, opcode == op::INT)?
            }
        })
    }

    fn byte_string(&mut self, opcode: u8) -> Result<Value, Fault> {
        let len = match opcode {
            op::STRING => {
                let line = self.stream.line(literals::LINE)?;
                return literals::bytes_value(self.arena, text::unquote(&line)?);
            }
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => self.stream.byte()?.into(),
            op::BINSTRING | op::BINBYTES => u32::from_le_bytes(self.stream.array()?).into(),
            _ => u64::from_le_bytes(self.stream.array()?),
        };
        literals::read_bytes(self.stream, self.arena, len)
    }

    fn text_string(&mut self, opcode: u8) -> Result<Value, Fault> {
        let len = match opcode {
            op::UNICODE => {
                let line = self.stream.line(literals::LINE)?;
                let text = text::decode_raw_escapes(&line)?;
                self.arena.charge(text.len())?;
                return self.arena.add_text(&text);
            }
            op::SHORT_BINUNICODE => self.stream.byte()?.into(),
            op::BINUNICODE => u32::from_le_bytes(self.stream.array()?).into(),
            _ => u64::from_le_bytes(self.stream.array()?),
        };
        literals::read_text(self.stream, self.arena, len)
    }

    fn collect(&mut self, make: fn(Vec<Value>) -> New<'static>) -> Result<(), Fault> {
        let items = self.pop_mark()?;
        self.arena.charge(items.len().saturating_mul(size_of::<Value>()))?;
        self.push_node(make(items))
    }

    fn tuple(&mut self, len: usize) -> Result<(), Fault> {
        let begin = self.last(len)?;
        self.tuple_from(begin)
    }

    /// Returns where the topmost `len` values begin; what lies below the last mark cannot be reached.
    fn last(&self, len: usize) -> Result<usize, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(len).filter(|begin| *begin >= floor) {
            Some(begin) => Ok(begin),
            None => self.underflow(),
        }
    }

    /// Returns the value below place `begin` of the stack, unless it lies below the last mark.
    fn below(&self, begin: usize) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..begin).and_then(<[Value]>::last) {
            Some(&value) => Ok(value),
            None => self.underflow(),
        }
    }

    fn marked_tuple(&mut self) -> Result<(), Fault> {
        let begin = self.unmark()?;
        self.tuple_from(begin)
    }

    /// Puts the values from place `begin` of the stack on into a tuple.
    fn tuple_from(&mut self, begin: usize) -> Result<(), Fault> {
        let value = self.arena.add_tuple(self.stack.get(begin..).unwrap_or_default())?;
        self.stack.truncate(begin);
        self.push(value)
    }

    fn dict(&mut self) -> Result<(), Fault> {
        let begin = self.unmark()?;
        let dict = self.arena.add(New::Dict(Entries::new()), 0)?;
        self.set_items_of(dict, begin)?;
        self.push(dict)
    }

    /// Appends the values from place `begin` of the stack on to the one below them.
    fn append(&mut self, begin: usize) -> Result<(), Fault> {
        let items = self.stack.get(begin..).unwrap_or_default();
        self.arena.charge(items.len().saturating_mul(size_of::<Value>() * 2))?;
        let target = self.below(begin)?;
        if let Some(list) = self.arena.list_mut(target) {
            list.extend_from_slice(items);
        } else if let Some(object) = self.arena.object_mut(target) {
            object.list.extend_from_slice(items);
        } else {
            return refuse(Reason::Malformed, "the pickle appends to something that is no list");
        }
        self.stack.truncate(begin);
        Ok(())
    }

    /// Sets keys of the value below place `begin` of the stack, from which on keys and values alternate.
    fn set_items(&mut self, begin: usize) -> Result<(), Fault> {
        let target = self.below(begin)?;
        self.set_items_of(target, begin)
    }

    fn set_items_of(&mut self, target: Value, begin: usize) -> Result<(), Fault> {
        let items = self.stack.get(begin..).unwrap_or_default();
        self.arena.charge(items.len().saturating_mul(size_of::<Value>() * 2))?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return refuse(Reason::Malformed, "the pickle sets a key without a value");
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        if let Some(dict) = self.arena.dict_mut(target) {
            // Most dicts are filled once.
            if dict.is_empty() {
                dict.reserve_exact(pairs.len());
            }
            dict.extend(pairs);
        } else if let Some(object) = self.arena.object_mut(target) {
            object.items.extend(pairs);
        } else {
            return refuse(Reason::Malformed, "the pickle sets a key of something that is no dict");
        }
        self.stack.truncate(begin);
        Ok(())
    }
}
