//! Calls that are not made: globals, objects, and the states they would have been given.

use super::arena::Value;
use super::builders;
use super::globals::Meaning;
use super::machine::Machine;
use super::nodes::{New, Node, Object};
use super::{judge, literals, numpy, opcode as op, render, text};
use crate::error::{Fault, Reason, refuse};
use crate::evidence::GlobalClass;

/// Limits the dangerous calls that are recorded of one global.
const RECORDED: usize = 3;

impl Machine<'_, '_> {
    /// Reads a module and a name: `GLOBAL` and `STACK_GLOBAL`.
    pub(super) fn global(&mut self, opcode: u8) -> Result<(), Fault> {
        let (module, name) = if opcode == op::GLOBAL {
            self.two_lines()?
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            match (self.arena.text(module), self.arena.text(name)) {
                (Some(module), Some(name)) => (module.to_owned(), name.to_owned()),
                _ => {
                    return refuse(
                        Reason::Malformed,
                        "the pickle names a global with something that is not a text",
                    );
                }
            }
        };
        let global = self.arena.global(module, name)?;
        self.push(global)
    }

    fn two_lines(&mut self) -> Result<(String, String), Fault> {
        let module = text::decode(&self.stream.line(literals::LINE)?)?.into_owned();
        let name = text::decode(&self.stream.line(literals::LINE)?)?.into_owned();
        Ok((module, name))
    }

    /// Takes what is to be called and its arguments: `REDUCE`, `NEWOBJ`, `NEWOBJ_EX`, `INST`, `OBJ`.
    pub(super) fn call(&mut self, opcode: u8) -> Result<(), Fault> {
        let (callee, args) = match opcode {
            op::INST => {
                let (module, name) = self.two_lines()?;
                let items = self.pop_mark()?;
                (self.arena.global(module, name)?, self.tuple_of(items)?)
            }
            op::OBJ => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return refuse(Reason::Malformed, "the pickle makes an object of no class");
                }
                let class = items.remove(0);
                (class, self.tuple_of(items)?)
            }
            _ => {
                if opcode == op::NEWOBJ_EX {
                    // Keyword arguments: nothing on the short list takes any.
                    self.pop()?;
                }
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let made = self.make(callee, args)?;
        self.push(made)
    }

    fn tuple_of(&mut self, items: Vec<Value>) -> Result<Value, Fault> {
        self.arena.add_tuple(&items)
    }

    /// Returns what the call makes: data, if the callee is on the short list, and otherwise an opaque object.
    pub(super) fn make(&mut self, callee: Value, args: Value) -> Result<Value, Fault> {
        let meaning = self.arena.meaning(callee).unwrap_or(Meaning::Nothing);
        if let Some(made) = builders::build(self, meaning, args)? {
            return Ok(made);
        }
        if judge::is_dangerous_call(self.arena, callee, args) {
            self.record_dangerous(callee, render::call(self.arena, callee, args));
        } else {
            self.record_call(callee, args);
        }
        let object = Object { callee, args, states: Vec::new(), list: Vec::new(), items: Vec::new() };
        self.arena.add(New::Object(object), 0)
    }

    /// Keeps the first call of each unknown global as evidence.
    fn record_call(&mut self, callee: Value, args: Value) {
        let Some(number) = render::underlying_global(self.arena, callee) else {
            return;
        };
        let Some((global, _)) = self.arena.globals.get(number) else {
            return;
        };
        if global.class == GlobalClass::Builder || !global.would_run.is_empty() {
            return;
        }
        let call = render::call(self.arena, callee, args);
        if let Some((global, _)) = self.arena.globals.get_mut(number) {
            global.would_run.push(call);
        }
    }

    /// Keeps a dangerous call as evidence, with the global that it began with.
    fn record_dangerous(&mut self, callee: Value, call: String) {
        self.arena.dangerous_call.get_or_insert_with(|| call.clone());
        let number = render::underlying_global(self.arena, callee);
        if let Some((global, _)) = number.and_then(|number| self.arena.globals.get_mut(number)) {
            global.class = GlobalClass::Dangerous;
            if global.would_run.len() < RECORDED {
                global.would_run.push(call);
            }
        }
    }

    /// Gives the topmost value a state: `BUILD`.
    pub(super) fn build(&mut self) -> Result<(), Fault> {
        let state = self.pop()?;
        let target = self.top()?;
        self.arena.charge(size_of::<Value>())?;
        if numpy::set_state(self, target, state)? || builders::set_tensor_state(self, target, state)? {
            return Ok(());
        }
        let is_global = matches!(self.arena.node(target), Some(Node::Global(_)));
        if is_global || judge::is_dangerous_state(self.arena, state) {
            self.record_dangerous(target, render::state(self.arena, target, state));
        }
        // Attributes of plain data, such as a state dict's `_metadata`, are not part of the weights.
        if let Some(object) = self.arena.object_mut(target) {
            object.states.push(state);
        }
        Ok(())
    }
}
