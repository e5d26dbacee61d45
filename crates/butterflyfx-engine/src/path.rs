//! Comes next.
impl crate::Engine {
    pub(crate) fn find_path(
        &self,
        _s: crate::identity::SubstrateId,
        _t: crate::identity::SubstrateId,
        _y: crate::model::TypeSet,
        _d: crate::model::Direction,
    ) -> crate::engine::Result<crate::model::Path> {
        Err(crate::error::EngineError::Full("not here yet".into()))
    }
}
