//! Comes next.
impl crate::Engine {
    pub(crate) fn find(
        &self,
        _s: &crate::model::Search,
        _p: &crate::model::PageRequest,
    ) -> crate::engine::Result<crate::model::Page<crate::model::Substrate>> {
        Err(crate::error::EngineError::Full("not here yet".into()))
    }
}
