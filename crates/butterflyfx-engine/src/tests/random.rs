//! Random commands to the engine and to the model; after each, both must answer the same.

use super::hands::Hands;
use super::model::Model;
use super::{all_pages, document};
use crate::engine::ItemResult;
use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use proptest::prelude::*;

/// A command, with small numbers that stand for what it is about.
#[derive(Clone, Debug)]
enum Command {
    Create { new: NewSubstrate, on_conflict: OnConflict },
    CreateMany { new: Vec<NewSubstrate>, on_conflict: OnConflict, atomic: bool },
    Put { id: u8, new: NewSubstrate, guard: u8 },
    Patch { id: u8, patch: SubstratePatch, guard: u8 },
    Delete { id: u8, restrict: bool, guard: u8 },
    DeleteMost,
    Relate { new: (u8, u8, u8, bool, u8), on_conflict: OnConflict },
    RelateMany { new: Vec<(u8, u8, u8, bool, u8)>, on_conflict: OnConflict, atomic: bool },
    Unrelate { at: u8 },
    Index { key: u8 },
    DropIndex { key: u8 },
    Restart,
    Search { search: Search, limit: usize },
    Traverse { traverse: (u8, u8, u64, u16, usize, bool) },
    Path { source: u8, target: u8, direction: u8, types: u16 },
    Lists { limit: usize, id: u8, types: u16, other: u8 },
}

const KEYS: [&str; 3] = ["a", "b.c", "name"];

fn types(number: u16) -> TypeSet {
    TypeSet(number & 0b111)
}

/// Identities: a few chosen ones, and the hashes of a few formulas.
fn id(number: u8) -> SubstrateId {
    match number % 26 {
        chosen @ 0..=19 => SubstrateId(u64::from(chosen)),
        hashed => SubstrateId::of_formula(ExpressionType::Constant, &(hashed % 6).to_string()),
    }
}

fn value() -> impl Strategy<Value = Document> {
    prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Bool),
        (-3i64..4).prop_map(Document::Int),
        (-6i32..7).prop_map(|halves| Document::Float(f64::from(halves) / 2.0)),
        "[ab]{0,3}".prop_map(|text| Document::Text(text.into())),
    ]
}

fn metadata() -> impl Strategy<Value = Document> {
    prop::collection::vec(prop::option::weighted(0.7, value()), KEYS.len()).prop_map(|values| {
        let members = KEYS.iter().zip(values).filter_map(|(key, value)| Some(((*key).into(), value?)));
        Document::Map(members.collect())
    })
}

fn new_substrate() -> impl Strategy<Value = NewSubstrate> {
    (prop::option::weighted(0.8, 0u8..26), 0u8..6, metadata()).prop_map(|(identity, code, metadata)| {
        NewSubstrate {
            identity: identity.map(id),
            expression_type: ExpressionType::Constant,
            expression_code: code.to_string(),
            metadata,
        }
    })
}

fn on_conflict() -> impl Strategy<Value = OnConflict> {
    prop_oneof![Just(OnConflict::Refuse), Just(OnConflict::Return)]
}

fn patch() -> impl Strategy<Value = SubstratePatch> {
    let code = prop::option::weighted(0.3, 0u8..6);
    (prop::option::weighted(0.8, metadata()), code).prop_map(|(metadata, code)| SubstratePatch {
        metadata,
        expression_code: code.map(|code| code.to_string()),
        expression_type: None,
    })
}

fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        4 => (0..KEYS.len()).prop_map(|key| Field::Metadata(KEYS[key].to_owned())),
        2 => Just(Field::CreatedAt),
        1 => Just(Field::UpdatedAt),
        1 => Just(Field::Version),
        1 => Just(Field::ExpressionCode),
        1 => Just(Field::ExpressionType),
        1 => Just(Field::SubstrateId),
    ]
}

fn condition() -> impl Strategy<Value = (Field, Condition)> {
    let operand = prop_oneof![
        6 => value(),
        1 => (0u8..26).prop_map(|number| Document::Text(id(number).to_string().into())),
        1 => (0i64..60).prop_map(Document::Int),
    ];
    let condition = (0u8..9, operand.clone(), prop::collection::vec(operand, 0..4), "[ab]{0,2}").prop_map(
        |(which, operand, list, prefix)| match which {
            0 => Condition::Equal(operand),
            1 => Condition::NotEqual(operand),
            2 => Condition::Greater(operand),
            3 => Condition::GreaterOrEqual(operand),
            4 => Condition::Less(operand),
            5 => Condition::LessOrEqual(operand),
            6 => Condition::In(list),
            7 => Condition::Exists(prefix.is_empty()),
            _ => Condition::Prefix(prefix),
        },
    );
    (field(), condition)
}

fn search() -> impl Strategy<Value = Search> {
    (prop::collection::vec(condition(), 0..3), prop::option::weighted(0.6, (field(), any::<bool>())))
        .prop_map(|(conditions, sort)| Search { conditions, sort })
}

fn command() -> impl Strategy<Value = Command> {
    let relationship = || (0u8..26, 0u8..26, 0u8..3, any::<bool>(), 0u8..3);
    prop_oneof![
        8 => (new_substrate(), on_conflict()).prop_map(|(new, on_conflict)| Command::Create { new, on_conflict }),
        3 => (prop::collection::vec(new_substrate(), 0..9), on_conflict(), any::<bool>())
            .prop_map(|(new, on_conflict, atomic)| Command::CreateMany { new, on_conflict, atomic }),
        2 => (0u8..26, new_substrate(), 0u8..6).prop_map(|(id, new, guard)| Command::Put { id, new, guard }),
        3 => (0u8..26, patch(), 0u8..6).prop_map(|(id, patch, guard)| Command::Patch { id, patch, guard }),
        4 => (0u8..26, any::<bool>(), 0u8..6)
            .prop_map(|(id, restrict, guard)| Command::Delete { id, restrict, guard }),
        1 => Just(Command::DeleteMost),
        9 => (relationship(), on_conflict()).prop_map(|(new, on_conflict)| Command::Relate { new, on_conflict }),
        9 => (prop::collection::vec(relationship(), 0..20), on_conflict(), prop::bool::weighted(0.2))
            .prop_map(|(new, on_conflict, atomic)| Command::RelateMany { new, on_conflict, atomic }),
        3 => any::<u8>().prop_map(|at| Command::Unrelate { at }),
        1 => (0u8..3).prop_map(|key| Command::Index { key }),
        1 => (0u8..3).prop_map(|key| Command::DropIndex { key }),
        1 => Just(Command::Restart),
        6 => (search(), 1usize..6).prop_map(|(search, limit)| Command::Search { search, limit }),
        3 => (0u8..26, 0u8..3, 0u64..5, any::<u16>(), 1usize..30, any::<bool>())
            .prop_map(|traverse| Command::Traverse { traverse }),
        3 => (0u8..26, 0u8..26, 0u8..3, any::<u16>())
            .prop_map(|(source, target, direction, types)| Command::Path { source, target, direction, types }),
        3 => (1usize..6, 0u8..26, any::<u16>(), 0u8..26)
            .prop_map(|(limit, id, types, other)| Command::Lists { limit, id, types, other }),
    ]
}

fn direction(number: u8) -> Direction {
    [Direction::Outgoing, Direction::Incoming, Direction::Both][number as usize % 3]
}

fn relationship(
    (source, target, rel_type, bidirectional, documents): (u8, u8, u8, bool, u8),
) -> NewRelationship {
    NewRelationship {
        rel_type: RelationshipType::ALL[rel_type as usize],
        source: id(source),
        target: id(target),
        bidirectional,
        constraints: document(
            ["{}", r#"{"weight":1.5}"#, r#"{"parameter":["x","y"],"collect":true}"#][documents as usize],
        ),
        lineage: document(["null", r#"["from",{"a":1}]"#, "null"][documents as usize]),
    }
}

struct Pair {
    hands: Hands,
    model: Model,
    now: i64,
    indexes: Vec<&'static str>,
}

impl Pair {
    /// A precondition: mostly none, else right or wrong.
    fn guard(&self, id: SubstrateId, guard: u8) -> Precondition {
        let revision = self.model.get(id).map(Substrate::revision);
        match guard {
            0 => Precondition::Exists,
            1 => Precondition::OneOf(revision.into_iter().collect()),
            2 => Precondition::OneOf(vec![Revision { version: 1, updated_at: Timestamp(3) }]),
            3 => Precondition::Absent,
            _ => Precondition::None,
        }
    }

    fn run(&mut self, command: &Command) {
        // Slots may move at any time.
        if self.hands.engine.wants_tidying() && self.now % 3 > 0 {
            self.hands.engine.tidy();
        }
        let now = Timestamp(self.now);
        if matches!(
            command,
            Command::Search { .. } | Command::Traverse { .. } | Command::Path { .. } | Command::Lists { .. }
        ) {
            self.hands.settle();
        }
        let engine = self.hands.engine;
        let Pair { hands, model, .. } = self;
        match command.clone() {
            Command::Create { new, on_conflict } => {
                let expected = model.create(now, &new, on_conflict);
                assert_eq!(hands.create_substrate(now, new, on_conflict), expected);
            }
            Command::CreateMany { new, on_conflict, atomic } => {
                let before = model.substrates.clone();
                let results: Vec<_> = new.iter().map(|one| model.create(now, one, on_conflict)).collect();
                let expected = batch(results, atomic);
                if expected.is_err() {
                    model.substrates = before;
                }
                assert_eq!(hands.create_substrates(now, new, on_conflict, atomic), expected);
            }
            Command::Put { id: at, new, guard } => {
                let guard = self.guard(id(at), guard);
                let expected = self.model.put(now, id(at), &new, &guard);
                assert_eq!(self.hands.put_substrate(now, id(at), new, &guard), expected);
            }
            Command::Patch { id: at, patch, guard } => {
                let guard = self.guard(id(at), guard);
                let expected = self.model.patch(now, id(at), &patch, &guard);
                assert_eq!(self.hands.patch_substrate(now, id(at), patch, &guard), expected);
            }
            Command::Delete { id: at, restrict, guard } => {
                let guard = self.guard(id(at), guard);
                let expected = self.model.delete(id(at), restrict, &guard);
                assert_eq!(self.hands.delete_substrate(now, id(at), restrict, &guard), expected);
            }
            Command::DeleteMost => {
                let ids: Vec<_> = model.substrates.iter().map(|one| one.id).collect();
                for (at, id) in ids.into_iter().enumerate().filter(|(at, _)| at % 4 != 1) {
                    let expected = model.delete(id, false, &Precondition::None);
                    assert_eq!(hands.delete_substrate(now, id, false, &Precondition::None), expected, "{at}");
                }
            }
            Command::Relate { new, on_conflict } => {
                let new = relationship(new);
                let expected = model.relate(now, &new, on_conflict);
                assert_eq!(hands.create_relationship(now, new, on_conflict), expected);
            }
            Command::RelateMany { new, on_conflict, atomic } => {
                let new: Vec<_> = new.into_iter().map(relationship).collect();
                let before = model.relationships.clone();
                let results: Vec<_> = new.iter().map(|one| model.relate(now, one, on_conflict)).collect();
                let expected = batch(results, atomic);
                if expected.is_err() {
                    model.relationships = before;
                }
                assert_eq!(hands.create_relationships(now, new, on_conflict, atomic), expected);
            }
            Command::Unrelate { at } => {
                let count = model.relationships.len();
                let some = model.relationships.get(at as usize % (count + 1)).map(|one| one.id);
                let id = some.unwrap_or(RelationshipId(77));
                assert_eq!(hands.delete_relationship(now, id), model.unrelate(id));
            }
            Command::Index { key } => {
                let key = KEYS[key as usize];
                let is_new = !self.indexes.contains(&key);
                if is_new {
                    self.indexes.push(key);
                }
                assert_eq!(self.hands.create_index(now, key), Ok(is_new));
            }
            Command::DropIndex { key } => {
                let key = KEYS[key as usize];
                let was_there = self.indexes.contains(&key);
                self.indexes.retain(|one| *one != key);
                assert_eq!(self.hands.drop_index(now, key), was_there);
            }
            Command::Restart => self.hands.restart(),
            Command::Search { search, limit } => {
                match all_pages(limit, |page| engine.search(&search, page)) {
                    Ok(found) => {
                        let ids: Vec<_> = found.iter().map(|one| one.id).collect();
                        assert_eq!(ids, model.search(&search), "{search:?}");
                        assert!(found.iter().all(|one| model.get(one.id) == Some(one)));
                    }
                    Err(EngineError::ScanTooLarge(..)) => {
                        assert!(search.sort.is_some() && model.substrates.len() > crate::search::LOOKS_MAX);
                    }
                    Err(error) => panic!("{error:?} for {search:?}"),
                }
            }
            Command::Traverse { traverse: (start, way, depth_max, among, limit, include_substrates) } => {
                let traverse = Traverse {
                    start: id(start),
                    direction: direction(way),
                    depth_max,
                    types: types(among),
                    limit,
                    include_substrates,
                };
                assert_eq!(engine.traverse(&traverse), model.traverse(&traverse));
            }
            Command::Path { source, target, direction: way, types: among } => {
                self.check_path(id(source), id(target), types(among), direction(way));
            }
            Command::Lists { limit, id: at, types: among, other } => {
                self.check_lists(limit, id(at), types(among), id(other));
            }
        }
        if self.hands.is_settled() {
            self.check_counts();
        }
    }

    fn check_path(&self, source: SubstrateId, target: SubstrateId, types: TypeSet, direction: Direction) {
        let found = self.hands.engine.path(source, target, types, direction);
        let missing = [source, target].into_iter().find(|&id| self.model.get(id).is_none());
        if let Some(missing) = missing {
            assert_eq!(found, Err(EngineError::SubstrateNotFound(missing)));
            return;
        }
        let Some(distance) = self.model.distance(source, target, types, direction) else {
            assert_eq!(found, Err(EngineError::NoPath));
            return;
        };
        let path = found.unwrap();
        assert_eq!((path.nodes.len() as u64, path.edges.len() as u64), (distance + 1, distance));
        assert_eq!((path.nodes[0], path.nodes[distance as usize]), (source, target));
        for (pair, edge) in path.nodes.windows(2).zip(&path.edges) {
            let around = self.model.relationships_of(pair[0], direction, types);
            assert!(around.contains(edge));
            assert!(
                (edge.source, edge.target) == (pair[0], pair[1])
                    || (edge.target, edge.source) == (pair[0], pair[1])
            );
        }
    }

    fn check_lists(&self, limit: usize, id: SubstrateId, types: TypeSet, other: SubstrateId) {
        let Pair { hands, model, .. } = self;
        let engine = hands.engine;
        let substrates = all_pages(limit, |page| engine.substrates(page)).unwrap();
        assert_eq!(substrates, model.substrates);
        assert_eq!(engine.substrate(id).ok().as_ref(), model.get(id));
        for direction in [Direction::Outgoing, Direction::Incoming] {
            let mut total = None;
            let found = all_pages(limit, |page| {
                let (page, count) = engine.relationships_of(id, direction, types, page)?;
                total = Some(count);
                Ok(page)
            });
            if model.get(id).is_none() {
                assert_eq!(found, Err(EngineError::SubstrateNotFound(id)));
            } else {
                let expected = model.relationships_of(id, direction, types);
                assert_eq!(total, Some(expected.len() as u64));
                assert_eq!(found, Ok(expected));
            }
        }
        for (source, target) in [(None, None), (Some(id), None), (None, Some(other)), (Some(id), Some(other))]
        {
            let filter = RelationshipFilter { source, target, types };
            let found = all_pages(limit, |page| engine.relationships(&filter, page)).unwrap();
            let fits = |one: &&Relationship| {
                source.is_none_or(|id| one.source == id)
                    && target.is_none_or(|id| one.target == id)
                    && types.allows(one.rel_type)
            };
            let expected: Vec<_> = model.relationships.iter().filter(fits).cloned().collect();
            assert_eq!(found, expected);
            assert!(found.iter().all(|one| engine.relationship(one.id).as_ref() == Ok(one)));
        }
    }

    fn check_counts(&self) {
        let Pair { hands, model, .. } = self;
        let engine = hands.engine;
        let stats = engine.stats();
        let counts = (model.substrates.len() as u64, model.relationships.len() as u64);
        assert_eq!(engine.counts(), counts);
        assert_eq!((stats.substrates, stats.relationships), counts);
        assert_eq!(stats.relationships_by_type.iter().sum::<u64>(), counts.1);
        assert_eq!(stats.out_degrees.iter().sum::<u64>(), counts.0);
        let degrees = |direction| {
            let degree =
                move |one: &Substrate| model.relationships_of(one.id, direction, TypeSet(0)).len() as u64;
            model.substrates.iter().map(degree).max().unwrap_or(0)
        };
        assert_eq!(stats.out_degree_max, degrees(Direction::Outgoing));
        assert_eq!(stats.in_degree_max, degrees(Direction::Incoming));
        for info in engine.indexes() {
            let values: Vec<_> =
                model.substrates.iter().filter_map(|one| one.metadata.get(&info.metadata_key)).collect();
            assert_eq!(info.entries, values.len() as u64);
        }
        assert_eq!(engine.indexes().len(), self.indexes.len());
    }
}

/// What a batch answers, from the results of its items.
fn batch<T>(
    results: Vec<Result<Created<T>, EngineError>>,
    atomic: bool,
) -> Result<Vec<ItemResult<T>>, EngineError> {
    match results.iter().position(Result::is_err) {
        Some(at) if atomic => {
            let error = results.into_iter().nth(at).and_then(Result::err);
            Err(EngineError::Batch(at, Box::new(error.expect("it is an error"))))
        }
        _ => Ok(results),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn engine_equals_model(
        commands in prop::collection::vec((command(), 0i64..3), 1..120),
        clock_goes_back in prop::bool::weighted(0.2),
        writes_down in any::<bool>(),
    ) {
        // What is written down has the time of its draft, which never goes back.
        let clock_goes_back = clock_goes_back && !writes_down;
        let hands = Hands::new(writes_down);
        let mut pair = Pair { hands, model: Model::default(), now: 0, indexes: Vec::new() };
        for (command, time) in &commands {
            pair.now += if clock_goes_back { time - 1 } else { time / 2 };
            pair.run(command);
        }
        pair.hands.restart();
        pair.check_counts();
        pair.check_lists(5, id(3), TypeSet(0), id(4));
    }

    /// Whatever is created and deleted between pages: each substrate that was there all the time
    /// comes once, in order, and none comes twice.
    #[test]
    fn pages_survive_changes(
        changes in prop::collection::vec(prop::collection::vec((any::<u8>(), new_substrate()), 0..6), 0..40),
        sort in prop::option::of((field(), any::<bool>())),
        indexed in any::<bool>(),
    ) {
        let engine = super::engine();
        if indexed {
            for key in KEYS {
                engine.create_index(Timestamp(0), key).unwrap();
            }
        }
        for at in 0..16u64 {
            let metadata = format!(r#"{{"a":{},"name":"{}"}}"#, at % 5, at % 3);
            super::add(&engine, 1000 + at, &metadata);
        }
        let mut steady: Vec<SubstrateId> = (0..16).map(|at| SubstrateId(1000 + at)).collect();
        let search = Search { conditions: vec![], sort };
        let mut expected = all_pages(7, |page| engine.search(&search, page)).unwrap();
        let mut seen = Vec::new();
        let mut request = PageRequest { limit: 2, after: None };
        let mut changes = changes.into_iter();
        loop {
            let Ok(Page { items, next }) = engine.search(&search, &request) else {
                return Ok(()); // too many to sort at once
            };
            seen.extend(items.into_iter().map(|one| one.id));
            let Some(next) = next else { break };
            request.after = Some(next);
            for (victim, new) in changes.next().unwrap_or_default() {
                let victim = steady[victim as usize % steady.len()];
                if steady.len() > 3 {
                    engine.delete_substrate(victim, false, &Precondition::None).unwrap();
                    steady.retain(|one| *one != victim);
                }
                let _ = engine.create_substrate(Timestamp(5000), new, OnConflict::Return);
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), seen.len(), "something came twice");
        expected.retain(|one| steady.contains(&one.id));
        seen.retain(|one| steady.contains(one));
        prop_assert_eq!(seen, expected.iter().map(|one| one.id).collect::<Vec<_>>());
    }

    /// Any bytes as a cursor are read or refused, never a panic.
    #[test]
    fn any_cursor_is_safe(
        mut bytes in prop::collection::vec(any::<u8>(), 0..30),
        tag in 0u8..5,
        sort in prop::option::of((field(), any::<bool>())),
        seed in any::<u8>(),
    ) {
        let engine = super::engine();
        for at in 0..12u64 {
            super::add(&engine, at, &format!(r#"{{"a":{at}}}"#));
        }
        engine.create_relationship(Timestamp(1), super::new_relationship(RelationshipType::Cycle, 1, 2), OnConflict::Refuse).unwrap();
        let search = Search { conditions: vec![], sort };
        // Start from a true cursor sometimes, and damage it.
        if seed % 2 == 0
            && let Some(Cursor(mut good)) = engine.search(&search, &PageRequest { limit: 1, after: None }).unwrap().next
        {
            let at = seed as usize % good.len();
            good[at] ^= bytes.first().copied().unwrap_or(0);
            bytes = good;
        } else if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        let page = PageRequest { limit: 3, after: Some(Cursor(bytes)) };
        for result in [
            engine.search(&search, &page).err(),
            engine.substrates(&page).err(),
            engine.relationships(&RelationshipFilter::default(), &page).err(),
            engine.relationships_of(SubstrateId(1), Direction::Outgoing, TypeSet(0), &page).err(),
        ] {
            prop_assert!(matches!(result, None | Some(EngineError::InvalidCursor)));
        }
    }
}
