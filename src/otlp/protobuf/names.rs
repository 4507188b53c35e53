//! Names of attributes: a request has a few, again and again, and in the same order in every span of a kind.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Names that are remembered; a request that was made up may have one for each attribute.
const MOST: usize = 4_096;

/// Names of a request.
#[derive(Debug)]
pub(super) struct Names {
    /// By number, each with the number of the one that came after it the last time; the first is none.
    order: Vec<(Arc<str>, usize)>,
    numbers: HashMap<Arc<str>, usize, RandomState>,
    last: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { order: vec![(Arc::from(""), 0)], numbers: HashMap::default(), last: 0 }
    }
}

impl Names {
    /// The name of these bytes.
    pub(super) fn of(&mut self, bytes: &[u8]) -> Arc<str> {
        let likely = self.order[self.last].1;
        if likely > 0 && self.order[likely].0.as_bytes() == bytes {
            self.last = likely;
            return Arc::clone(&self.order[likely].0);
        }
        let text = String::from_utf8_lossy(bytes);
        let number = match self.numbers.get(&*text) {
            Some(number) => *number,
            None if self.order.len() > MOST => return Arc::from(text),
            None => {
                let name: Arc<str> = Arc::from(text);
                self.order.push((Arc::clone(&name), 0));
                self.numbers.insert(name, self.order.len() - 1);
                self.order.len() - 1
            }
        };
        self.order[self.last].1 = number;
        self.last = number;
        Arc::clone(&self.order[number].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_in_any_order_and_there_is_one_copy() {
        let mut names = Names::default();
        for round in [["a", "b", "", "c"], ["c", "", "b", "a"], ["a", "b", "", "c"], ["b", "b", "b", "b"]] {
            for name in round {
                assert_eq!(&*names.of(name.as_bytes()), name);
            }
        }
        assert!(Arc::ptr_eq(&names.of(b"a"), &names.of(b"a")));
        assert_eq!(&*names.of(b"a\xff"), "a\u{fffd}");
        assert_eq!(names.order.len(), 6);
    }

    #[test]
    fn made_up_names_do_not_pile_up() {
        let mut names = Names::default();
        for number in 0..2 * MOST {
            assert_eq!(*names.of(number.to_string().as_bytes()), *number.to_string());
        }
        assert!(names.order.len() <= MOST + 1 && names.numbers.len() <= MOST);
    }
}
