// Names of PostgreSQL's own that touch no table and nothing outside the statement, by the catalogs of versions 14 to 18.
import made from './builtins.json' with { type: 'json' }

/**
 * Functions of pg_catalog that are immutable or stable in all their forms, without those that execute what they are given (`table_to_xml`,
 * `pg_input_is_valid`), and with volatile ones that touch no table, such as `random` and `pg_advisory_lock`; the version that has them
 * first. test/gateway/postgres/effects-statements.test.ts holds the list against the catalog of the PostgreSQL that tests run on.
 */
export const HARMLESS_FUNCTIONS: ReadonlyMap<string, number> = new Map(
  Object.entries(made.functions).flatMap(([version, names]) =>
    names.split(' ').map((name): [string, number] => [name, Number(version)]),
  ),
)

/** Operators of pg_catalog. */
export const BUILT_IN_OPERATORS: ReadonlySet<string> = new Set(made.operators.split(' '))

/** Types of pg_catalog. */
export const BUILT_IN_TYPES: ReadonlySet<string> = new Set(made.types.split(' '))

/** Operator classes of pg_catalog: an index is made with the functions of its own. */
export const BUILT_IN_OPERATOR_CLASSES: ReadonlySet<string> = new Set(made.operatorClasses.split(' '))

/** Catalogs that hold definitions, privileges and settings, and views through which their rows can be changed. */
export const CATALOGS: ReadonlySet<string> = new Set(made.catalogs.split(' '))
