//! Who ends are, each made once and shared by all records that name it.

use crate::item::Who;
use std::collections::HashMap;
use std::sync::Arc;

/// Text that is kept to know ends by. Beyond it everything is forgotten and begins anew: records keep what they were given.
const KEPT: usize = 16 << 20;

/// Ends by the text that describes them.
#[derive(Default)]
pub(crate) struct Known {
    /// What is put together to look it up.
    key: String,
    by_text: HashMap<Box<str>, Arc<Who>>,
    kept: usize,
}

impl Known {
    /// Who is described by `text`, which is told apart from any other; `make` reads it, the first time.
    pub(crate) fn who<const N: usize>(
        &mut self,
        text: [&str; N],
        make: impl FnOnce() -> Option<Who>,
    ) -> Option<Arc<Who>> {
        self.key.clear();
        for piece in text {
            self.key.push_str(piece);
            self.key.push('\0');
        }
        if let Some(who) = self.by_text.get(self.key.as_str()) {
            return Some(Arc::clone(who));
        }
        let who = Arc::new(make()?);
        if self.kept + self.key.len() > KEPT {
            self.by_text.clear();
            self.kept = 0;
        }
        self.kept += self.key.len();
        self.by_text.insert(self.key.as_str().into(), Arc::clone(&who));
        Some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Who> {
        Some(Who { name: Some(name.to_owned()), ..Who::default() })
    }

    #[test]
    fn the_same_text_is_the_same_who() {
        let mut known = Known::default();
        let first = known.who(["a", "b"], || named("x")).unwrap();
        let again = known.who(["a", "b"], || panic!("it is known")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &known.who(["ab", ""], || named("y")).unwrap()));
        assert_eq!(known.who(["c", ""], || None), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut known = Known::default();
        let long = "x".repeat(1 << 20);
        for index in 0..100 {
            known.who([&index.to_string(), &long], || named("z")).unwrap();
            assert!(known.kept <= KEPT);
            assert!(known.by_text.len() <= 16);
        }
    }
}
