//! A plain model of the engine: vectors in order of creation, every question answered by looking
//! at everything.

use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use butterflyfx_formula::document::Document;
use std::cmp::Ordering;

#[derive(Default)]
pub(super) struct Model {
    pub(super) substrates: Vec<Substrate>,
    pub(super) relationships: Vec<Relationship>,
}

impl Model {
    pub(super) fn get(&self, id: SubstrateId) -> Option<&Substrate> {
        self.substrates.iter().find(|one| one.id == id)
    }

    pub(super) fn create(
        &mut self,
        now: Timestamp,
        new: &NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>, EngineError> {
        let id = new
            .identity
            .unwrap_or_else(|| SubstrateId::of_formula(new.expression_type, &new.expression_code));
        if let Some(found) = self.get(id) {
            if (found.expression_type, &found.expression_code) != (new.expression_type, &new.expression_code)
            {
                return Err(EngineError::IdentityInUse(id));
            }
            if on_conflict == OnConflict::Refuse {
                return Err(EngineError::SubstrateExists(id));
            }
            return Ok(Created { item: found.clone(), is_new: false });
        }
        let item = Substrate {
            id,
            created_at: now,
            updated_at: now,
            version: 1,
            expression_type: new.expression_type,
            expression_code: new.expression_code.clone(),
            metadata: new.metadata.clone(),
        };
        self.substrates.push(item.clone());
        Ok(Created { item, is_new: true })
    }

    fn meets(&self, id: SubstrateId, precondition: &Precondition) -> Result<(), EngineError> {
        let found = self.get(id);
        let met = match precondition {
            Precondition::None => true,
            Precondition::Exists => found.is_some(),
            Precondition::Absent => found.is_none(),
            Precondition::OneOf(revisions) => found.is_some_and(|one| revisions.contains(&one.revision())),
        };
        if met { Ok(()) } else { Err(EngineError::PreconditionFailed(id)) }
    }

    pub(super) fn put(
        &mut self,
        now: Timestamp,
        id: SubstrateId,
        new: &NewSubstrate,
        precondition: &Precondition,
    ) -> Result<Created<Substrate>, EngineError> {
        self.meets(id, precondition)?;
        if self.get(id).is_none() {
            let new = NewSubstrate { identity: Some(id), ..new.clone() };
            return self.create(now, &new, OnConflict::Refuse);
        }
        let patch = SubstratePatch {
            metadata: None,
            expression_code: Some(new.expression_code.clone()),
            expression_type: Some(new.expression_type),
        };
        self.patch(now, id, &patch, precondition)?;
        let found = self.substrates.iter_mut().find(|one| one.id == id).unwrap();
        found.metadata = new.metadata.clone();
        Ok(Created { item: found.clone(), is_new: false })
    }

    pub(super) fn patch(
        &mut self,
        now: Timestamp,
        id: SubstrateId,
        patch: &SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate, EngineError> {
        self.meets(id, precondition)?;
        let found = self.substrates.iter_mut().find(|one| one.id == id);
        let found = found.ok_or(EngineError::SubstrateNotFound(id))?;
        let kind = patch.expression_type.unwrap_or(found.expression_type);
        let code = patch.expression_code.clone().unwrap_or(found.expression_code.clone());
        let is_other = (kind, &code) != (found.expression_type, &found.expression_code);
        if is_other && SubstrateId::of_formula(found.expression_type, &found.expression_code) == id {
            return Err(EngineError::IdentityIsContent(id));
        }
        found.expression_type = kind;
        found.expression_code = code;
        if let Some(Document::Map(changes)) = &patch.metadata {
            let Document::Map(members) = &mut found.metadata else { panic!("metadata is an object") };
            for (key, value) in changes {
                members.retain(|(name, _)| *value != Document::Null || name != key);
                match members.iter_mut().find(|(name, _)| name == key) {
                    Some(member) => member.1 = value.clone(),
                    None if *value != Document::Null => members.push((key.clone(), value.clone())),
                    None => {}
                }
            }
        }
        found.version += 1;
        found.updated_at = now;
        Ok(found.clone())
    }

    pub(super) fn delete(
        &mut self,
        id: SubstrateId,
        restrict: bool,
        precondition: &Precondition,
    ) -> Result<(), EngineError> {
        self.meets(id, precondition)?;
        self.get(id).ok_or(EngineError::SubstrateNotFound(id))?;
        let touches = |one: &Relationship| one.source == id || one.target == id;
        let count = self.relationships.iter().filter(|one| touches(one)).count();
        if restrict && count > 0 {
            return Err(EngineError::HasRelationships(id, count as u64));
        }
        self.relationships.retain(|one| !touches(one));
        self.substrates.retain(|one| one.id != id);
        Ok(())
    }

    pub(super) fn relate(
        &mut self,
        now: Timestamp,
        new: &NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>, EngineError> {
        for end in [new.source, new.target] {
            self.get(end).ok_or(EngineError::SubstrateNotFound(end))?;
        }
        let id = RelationshipId::of(new.rel_type, new.source, new.target);
        if let Some(found) = self.relationships.iter().find(|one| one.id == id) {
            return match on_conflict {
                OnConflict::Refuse => Err(EngineError::RelationshipExists(id)),
                OnConflict::Return => Ok(Created { item: found.clone(), is_new: false }),
            };
        }
        let item = Relationship {
            id,
            rel_type: new.rel_type,
            source: new.source,
            target: new.target,
            bidirectional: new.bidirectional,
            constraints: new.constraints.clone(),
            lineage: new.lineage.clone(),
            created_at: now,
        };
        self.relationships.push(item.clone());
        Ok(Created { item, is_new: true })
    }

    pub(super) fn unrelate(&mut self, id: RelationshipId) -> Result<(), EngineError> {
        let before = self.relationships.len();
        self.relationships.retain(|one| one.id != id);
        if self.relationships.len() < before { Ok(()) } else { Err(EngineError::RelationshipNotFound(id)) }
    }

    pub(super) fn relationships_of(
        &self,
        id: SubstrateId,
        direction: Direction,
        types: TypeSet,
    ) -> Vec<Relationship> {
        let here = |one: &&Relationship| {
            let leaves = one.source == id || one.bidirectional && one.target == id;
            let arrives = one.target == id || one.bidirectional && one.source == id;
            types.allows(one.rel_type)
                && match direction {
                    Direction::Outgoing => leaves,
                    Direction::Incoming => arrives,
                    Direction::Both => leaves || arrives,
                }
        };
        self.relationships.iter().filter(here).cloned().collect()
    }

    pub(super) fn traverse(&self, traverse: &Traverse) -> Result<Traversal, EngineError> {
        self.get(traverse.start).ok_or(EngineError::SubstrateNotFound(traverse.start))?;
        let mut nodes = vec![Reached { id: traverse.start, depth: 0, via: None, substrate: None }];
        let mut truncated = false;
        for depth in 1..=traverse.depth_max.min(100) {
            // Candidates of this level, by creation.
            let mut level = Vec::new();
            for one in &self.substrates {
                if nodes.iter().any(|node| node.id == one.id) {
                    continue;
                }
                let before: Vec<_> = nodes.iter().filter(|node| node.depth == depth - 1).collect();
                let via = self.relationships.iter().find(|edge| {
                    before.iter().any(|node| {
                        self.relationships_of(node.id, traverse.direction, traverse.types).contains(edge)
                            && ((edge.source == node.id && edge.target == one.id)
                                || (edge.target == node.id && edge.source == one.id))
                    })
                });
                if let Some(via) = via {
                    level.push(Reached { id: one.id, depth, via: Some(via.id), substrate: None });
                }
            }
            nodes.extend(level);
            if nodes.len() > traverse.limit {
                nodes.truncate(traverse.limit);
                truncated = true;
                break;
            }
        }
        if traverse.include_substrates {
            for node in &mut nodes {
                node.substrate = self.get(node.id).cloned();
            }
        }
        let has = |id: SubstrateId| nodes.iter().any(|node| node.id == id);
        let among =
            |one: &&Relationship| traverse.types.allows(one.rel_type) && has(one.source) && has(one.target);
        let edges = self.relationships.iter().filter(among).cloned().collect();
        Ok(Traversal { nodes, edges, truncated })
    }

    /// Length of a shortest path.
    pub(super) fn distance(
        &self,
        source: SubstrateId,
        target: SubstrateId,
        types: TypeSet,
        direction: Direction,
    ) -> Option<u64> {
        let traverse = Traverse {
            start: source,
            direction,
            depth_max: 100,
            types,
            limit: usize::MAX,
            include_substrates: false,
        };
        let reached = self.traverse(&traverse).ok()?;
        reached.nodes.iter().find(|node| node.id == target).map(|node| node.depth)
    }

    pub(super) fn search(&self, search: &Search) -> Vec<SubstrateId> {
        let mut found: Vec<&Substrate> = self
            .substrates
            .iter()
            .filter(|one| search.conditions.iter().all(|(field, condition)| passes(one, field, condition)))
            .collect();
        if let Some((field, descending)) = &search.sort {
            found.sort_by(|a, b| match (value(a, field), value(b, field)) {
                (Some(a), Some(b)) => {
                    let order =
                        kind(&a).cmp(&kind(&b)).then_with(|| order(&a, &b).unwrap_or(Ordering::Equal));
                    if *descending { order.reverse() } else { order }
                }
                (a, b) => a.is_none().cmp(&b.is_none()),
            });
        }
        found.into_iter().map(|one| one.id).collect()
    }
}

fn passes(one: &Substrate, field: &Field, condition: &Condition) -> bool {
    let value = value(one, field);
    let Some(value) = value else {
        return matches!(condition, Condition::NotEqual(_) | Condition::Exists(false));
    };
    match condition {
        Condition::Equal(operand) => order(&value, operand) == Some(Ordering::Equal),
        Condition::NotEqual(operand) => order(&value, operand) != Some(Ordering::Equal),
        Condition::Greater(operand) => order(&value, operand) == Some(Ordering::Greater),
        Condition::GreaterOrEqual(operand) => order(&value, operand).is_some_and(Ordering::is_ge),
        Condition::Less(operand) => order(&value, operand) == Some(Ordering::Less),
        Condition::LessOrEqual(operand) => order(&value, operand).is_some_and(Ordering::is_le),
        Condition::In(operands) => operands.iter().any(|one| order(&value, one) == Some(Ordering::Equal)),
        Condition::Exists(exists) => *exists,
        Condition::Prefix(prefix) => {
            matches!(&value, Document::Text(text) if text.starts_with(prefix.as_str()))
        }
    }
}

fn value(one: &Substrate, field: &Field) -> Option<Document> {
    Some(match field {
        Field::ExpressionType => Document::Text(one.expression_type.name().into()),
        Field::ExpressionCode => Document::Text(one.expression_code.as_str().into()),
        Field::CreatedAt => Document::Int(one.created_at.0),
        Field::UpdatedAt => Document::Int(one.updated_at.0),
        Field::Version => Document::Int(i64::from(one.version)),
        Field::SubstrateId => Document::Text(one.id.to_string().into()),
        Field::Metadata(key) => one.metadata.get(key).cloned()?,
    })
}

fn kind(value: &Document) -> u8 {
    match value {
        Document::Null => 0,
        Document::Bool(_) => 1,
        Document::Int(_) | Document::BigInt(_) | Document::Float(_) => 2,
        Document::Text(_) => 3,
        Document::List(_) | Document::Map(_) => 4,
    }
}

/// Small numbers only, which floats hold exactly.
fn order(a: &Document, b: &Document) -> Option<Ordering> {
    let number = |value: &Document| match value {
        Document::Int(i) => Some(*i as f64),
        Document::Float(x) => Some(*x),
        _ => None,
    };
    match (a, b) {
        (Document::Null, Document::Null) => Some(Ordering::Equal),
        (Document::Bool(a), Document::Bool(b)) => Some(a.cmp(b)),
        (Document::Text(a), Document::Text(b)) => Some(a.cmp(b)),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}
