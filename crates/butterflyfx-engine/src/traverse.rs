//! Comes next.
impl crate::Engine {
    pub(crate) fn walk(&self, _t: &crate::model::Traverse) -> crate::engine::Result<crate::model::Traversal> {
        Err(crate::error::EngineError::Full("not here yet".into()))
    }
}
