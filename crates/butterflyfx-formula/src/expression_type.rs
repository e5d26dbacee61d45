//! The ways in which formula text is read.

/// How formula text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpressionType {
    /// A Python lambda.
    Lambda,
    /// The body alone; its free names are the parameters.
    Formula,
    /// The text of a JSON value.
    Constant,
}

impl ExpressionType {
    /// All types, in the order of the contract.
    pub const ALL: [ExpressionType; 3] =
        [ExpressionType::Lambda, ExpressionType::Formula, ExpressionType::Constant];

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            ExpressionType::Lambda => "lambda",
            ExpressionType::Formula => "formula",
            ExpressionType::Constant => "constant",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<ExpressionType> {
        ExpressionType::ALL.into_iter().find(|one| one.name() == name)
    }
}
