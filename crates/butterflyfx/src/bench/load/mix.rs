//! What is asked: how often each operation comes in the realistic mix, from the table that the locustfile reads
//! too, `tests/load/mix.json`.

use super::random::Random;

/// The shared table: operations with their weights.
const TABLE: &str = include_str!("../../../../../tests/load/mix.json");

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// One substrate by its identity.
    Get,
    /// A page of all substrates.
    List,
    /// A formula with parameters.
    Invoke,
    /// Several formulas in one request.
    BatchInvoke,
    /// A value with parameters that flow in from other substrates.
    Value,
    /// Substrates by indexed metadata.
    Search,
    /// Relationships that leave a substrate.
    Outgoing,
    /// Relationships that arrive at one.
    Incoming,
    /// A walk over relationships.
    Traverse,
    /// A shortest path.
    Path,
    /// A new formula or new metadata.
    Patch,
    /// A new substrate.
    Create,
    /// Several new substrates in one request.
    CreateBatch,
    /// A new relationship.
    CreateRelationship,
    /// One substrate less.
    Delete,
}

impl Operation {
    /// All of them, in the order of the reports.
    pub const ALL: [Operation; 15] = [
        Operation::Get,
        Operation::List,
        Operation::Invoke,
        Operation::BatchInvoke,
        Operation::Value,
        Operation::Search,
        Operation::Outgoing,
        Operation::Incoming,
        Operation::Traverse,
        Operation::Path,
        Operation::Patch,
        Operation::Create,
        Operation::CreateBatch,
        Operation::CreateRelationship,
        Operation::Delete,
    ];

    /// Its name in the table and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::List => "list",
            Operation::Invoke => "invoke",
            Operation::BatchInvoke => "batch_invoke",
            Operation::Value => "value",
            Operation::Search => "search",
            Operation::Outgoing => "outgoing",
            Operation::Incoming => "incoming",
            Operation::Traverse => "traverse",
            Operation::Path => "path",
            Operation::Patch => "patch",
            Operation::Create => "create",
            Operation::CreateBatch => "create_batch",
            Operation::CreateRelationship => "create_relationship",
            Operation::Delete => "delete",
        }
    }
}

/// The table, ready to draw from.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Each operation with the sum of the weights up to it.
    sums: Vec<(Operation, u64)>,
}

impl Mix {
    /// Reads the table.
    ///
    /// # Errors
    /// A sentence, where it is not about exactly our operations.
    pub fn read() -> Result<Mix, String> {
        let wrong = |what: String| format!("tests/load/mix.json: {what}");
        let table: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(TABLE).map_err(|error| wrong(error.to_string()))?;
        let mut sums = Vec::new();
        let mut sum = 0;
        for operation in Operation::ALL {
            let weight = table.get(operation.name()).and_then(serde_json::Value::as_u64);
            sum += weight.ok_or_else(|| wrong(format!("{} has no weight", operation.name())))?;
            sums.push((operation, sum));
        }
        if table.len() != sums.len() {
            return Err(wrong("there is an operation that nobody knows".to_owned()));
        }
        Ok(Mix { sums })
    }

    /// The next operation.
    pub fn draw(&self, random: &mut Random) -> Operation {
        let all = self.sums.last().map_or(1, |(_, sum)| *sum);
        let drawn = random.below(all);
        let at = self.sums.partition_point(|(_, sum)| *sum <= drawn);
        self.sums.get(at).map_or(Operation::Get, |(operation, _)| *operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_as_often_as_the_table_says() {
        let mix = Mix::read().expect("the table is right");
        let mut random = Random::new(1);
        let mut drawn = [0_u64; Operation::ALL.len()];
        for _ in 0..100_000 {
            drawn[mix.draw(&mut random) as usize] += 1;
        }
        let mut before = 0;
        for (operation, sum) in &mix.sums {
            let wanted = (sum - before) * 1_000;
            let count = drawn[*operation as usize];
            assert!(count.abs_diff(wanted) < 500, "{}: {count}, not {wanted}", operation.name());
            before = *sum;
        }
        assert_eq!(before, 100, "weights are percent");
    }
}
