//! Which values lead to tensors.
//!
//! Pickles share values freely: sixty lists, each holding the one before twice, spell 2^60 paths. The
//! walk for tensors follows paths, so it first learns which values are worth following at all. This looks
//! once at every container that the top leads to, however they are entangled, and at nothing else: most of
//! a state dict's pickle, the parts that its tensors were made of, cannot be reached any more.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::pickle::{Arena, Node, NodeId, Value};

/// Holds containers, each once.
pub(super) type Containers = HashSet<NodeId, RandomState>;

/// Returns the containers that `root` leads to, itself included, from which a tensor can be reached.
pub(super) fn reaching_tensors(arena: &Arena, root: Value) -> Containers {
    let mut search = Search {
        arena,
        met: Containers::default(),
        reaching: Containers::default(),
        open: Vec::new(),
        links: Vec::new(),
        leading: Vec::new(),
    };
    search.meet(root, None);
    while let Some(holder) = search.open.pop() {
        search.look_into(holder);
    }
    search.links.sort_unstable();
    while let Some(held) = search.leading.pop() {
        let first = search.links.partition_point(|(id, _)| *id < held);
        let links = search.links.iter().skip(first).take_while(|(id, _)| *id == held);
        for holder in links.map(|(_, holder)| *holder).collect::<Vec<_>>() {
            search.lead(holder);
        }
    }
    search.reaching
}

struct Search<'a> {
    arena: &'a Arena,
    /// Holds the containers that have been met.
    met: Containers,
    reaching: Containers,
    /// Lists the containers that have not been looked into yet.
    open: Vec<NodeId>,
    /// Holds a container that is held, and the one that holds it.
    links: Vec<(NodeId, NodeId)>,
    /// Lists the containers that lead to a tensor, whose holders have not been visited yet.
    leading: Vec<NodeId>,
}

impl Search<'_> {
    /// Meets a value as a part of `holder`.
    fn meet(&mut self, value: Value, holder: Option<NodeId>) {
        let Value::Node(id) = value else {
            return;
        };
        match self.arena.node(value) {
            Some(Node::Tensor(_) | Node::Unsupported(_)) => {
                if let Some(holder) = holder {
                    self.lead(holder);
                }
            }
            Some(Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::Dict(_) | Node::Object(_)) => {
                if let Some(holder) = holder
                    && self.links.last() != Some(&(id, holder))
                {
                    self.links.push((id, holder));
                }
                if self.met.insert(id) {
                    self.open.push(id);
                }
            }
            _ => {}
        }
    }

    /// Meets each value that the walk would go to from this container.
    fn look_into(&mut self, holder: NodeId) {
        let arena = self.arena;
        let mut each = |value: &Value| self.meet(*value, Some(holder));
        match arena.node(Value::Node(holder)) {
            Some(Node::List(items) | Node::Set(items) | Node::Tuple(items)) => items.iter().for_each(each),
            Some(Node::Dict(entries)) => entries.iter().for_each(|(_, value)| each(value)),
            Some(Node::Object(object)) => {
                each(&object.args);
                object.states.iter().chain(&object.list).for_each(&mut each);
                object.items.iter().for_each(|(_, value)| each(value));
            }
            _ => {}
        }
    }

    /// Notes that a tensor can be reached from a container.
    fn lead(&mut self, id: NodeId) {
        if self.reaching.insert(id) {
            self.leading.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::pickle::nodes::New;

    /// Returns a list that holds these values.
    fn list(arena: &mut Arena, items: &[Value]) -> Value {
        arena.add(New::List(items.to_vec()), 0).unwrap()
    }

    #[test]
    fn holders_of_tensors_are_found_through_circles_and_shared_values_and_nothing_else_is() {
        let mut arena = Arena::new(&Limits::default());
        let tensor = arena.add(New::Unsupported("a tensor"), 0).unwrap();
        let plain = list(&mut arena, &[Value::Int(1)]);
        // A circle of two lists, the second of which holds the tensor only after a list that both share.
        let shared = list(&mut arena, &[plain, tensor]);
        let first = list(&mut arena, &[plain, plain]);
        let second = list(&mut arena, &[first, first, shared]);
        arena.list_mut(first).unwrap().push(second);
        let barren = list(&mut arena, &[plain]);
        let root = list(&mut arena, &[barren, first]);
        let elsewhere = list(&mut arena, &[tensor]);
        let reaching = reaching_tensors(&arena, root);
        let is_reaching = |value: Value| matches!(value, Value::Node(id) if reaching.contains(&id));
        for value in [shared, first, second, root] {
            assert!(is_reaching(value), "{value:?}");
        }
        for value in [plain, barren, elsewhere] {
            assert!(!is_reaching(value), "{value:?}");
        }
    }
}
