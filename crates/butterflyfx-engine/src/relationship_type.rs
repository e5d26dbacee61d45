//! The fifteen types of relationships, and sets of them as filters.

/// The type of a relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the contract's and say it all")]
pub enum RelationshipType {
    PartToWhole,
    WholeToPart,
    Sibling,
    Containment,
    Attribute,
    Dependency,
    Adjacency,
    Aggregation,
    Boundary,
    Cycle,
    Recursion,
    Lineage,
    Embedding,
    Extraction,
    Orthogonal,
}

impl RelationshipType {
    /// All types, in the order of the contract.
    pub const ALL: [RelationshipType; 15] = [
        RelationshipType::PartToWhole,
        RelationshipType::WholeToPart,
        RelationshipType::Sibling,
        RelationshipType::Containment,
        RelationshipType::Attribute,
        RelationshipType::Dependency,
        RelationshipType::Adjacency,
        RelationshipType::Aggregation,
        RelationshipType::Boundary,
        RelationshipType::Cycle,
        RelationshipType::Recursion,
        RelationshipType::Lineage,
        RelationshipType::Embedding,
        RelationshipType::Extraction,
        RelationshipType::Orthogonal,
    ];

    /// The upper-case name.
    pub const fn name(self) -> &'static str {
        match self {
            RelationshipType::PartToWhole => "PART_TO_WHOLE",
            RelationshipType::WholeToPart => "WHOLE_TO_PART",
            RelationshipType::Sibling => "SIBLING",
            RelationshipType::Containment => "CONTAINMENT",
            RelationshipType::Attribute => "ATTRIBUTE",
            RelationshipType::Dependency => "DEPENDENCY",
            RelationshipType::Adjacency => "ADJACENCY",
            RelationshipType::Aggregation => "AGGREGATION",
            RelationshipType::Boundary => "BOUNDARY",
            RelationshipType::Cycle => "CYCLE",
            RelationshipType::Recursion => "RECURSION",
            RelationshipType::Lineage => "LINEAGE",
            RelationshipType::Embedding => "EMBEDDING",
            RelationshipType::Extraction => "EXTRACTION",
            RelationshipType::Orthogonal => "ORTHOGONAL",
        }
    }

    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<RelationshipType> {
        RelationshipType::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }
}

/// A set of relationship types, as a filter. Empty means every type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeSet(pub u16);

impl TypeSet {
    /// Adds a type.
    pub fn insert(&mut self, rel_type: RelationshipType) {
        self.0 |= 1 << rel_type as u8;
    }

    /// Whether the filter lets this type through.
    pub fn allows(self, rel_type: RelationshipType) -> bool {
        self.0 == 0 || self.0 & (1 << rel_type as u8) != 0
    }
}
