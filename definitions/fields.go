package definitions

import (
	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
)

// nameBytesMax bounds the names of views, features and the rest: they become directory and column names.
const nameBytesMax = 100

// fileShape is the table of everything that a definitions file may say.
func fileShape() *shape {
	return &shape{kind: recordShape, noun: "definitions file", nullable: true, what: "a mapping with entities, sources, views, on_demand, services",
		fields: []field{
			{name: "entities", shape: listOf(entityShape(), 0, true), doc: "What features describe: a customer, a terminal."},
			{name: "sources", shape: listOf(sourceShape(), 0, true), doc: "Tables of events or states in Parquet."},
			{name: "views", shape: listOf(viewShape(), 0, true), doc: "Features of one entity that come from one source."},
			{name: "on_demand", shape: listOf(onDemandShape(), 0, true), doc: "Features that are computed when they are asked for, from the request and other features."},
			{name: "services", shape: listOf(serviceShape(), 0, true), doc: "The features that one model takes, in order."},
		}}
}

func entityShape() *shape {
	return namedRecord("entity",
		field{name: "name", required: true, shape: nameShape(), doc: "The entity's name."},
		field{name: "keys", shape: &shape{kind: dictShape, nullable: true, what: "a mapping from key columns to types",
			key: nameShape(), item: keyTypeShape()},
			doc: "The columns that identify one of them, with their types, in order. None: a global entity, of which there is one."},
	)
}

func sourceShape() *shape {
	return namedRecord("source",
		field{name: "name", required: true, shape: nameShape(), doc: "The source's name."},
		field{name: "parquet", required: true, shape: textOf("a path or glob of Parquet files"),
			doc: "The files: a path or a glob (* ? [a-z] {a,b} and ** for any depth), relative to the directory of the definitions."},
		field{name: "event_time", required: true, shape: columnShape(), doc: "The column that says when a row happened."},
		field{name: "created_time", shape: columnShape(), doc: "The column that says when a row became known."},
		field{name: "bad_rows", shape: optionShape("fail or skip", "its values", "fail", "skip"),
			doc: "What to do with a row whose event time or key is NULL: fail (the default) or skip it."},
	)
}

func viewShape() *shape {
	s := namedRecord("view",
		field{name: "name", required: true, shape: nameShape(), doc: "The view's name; its table in the offline store has it too."},
		field{name: "entity", required: true, shape: nameShape(), doc: "The entity that the features describe."},
		field{name: "source", required: true, shape: nameShape(), doc: "The source that the rows come from."},
		field{name: "keys", shape: keyMapShape("source"),
			doc: "Which source column holds each of the entity's keys, where it has another name."},
		field{name: "where", shape: textOf("an expression"), doc: "Only rows for which this expression is true belong to the view."},
		field{name: "features", shape: listOf(featureShape(), 1, false), doc: "The view's features: of the latest row at the time of a read."},
		field{name: "aggregations", shape: listOf(aggregationShape(), 1, false),
			doc: "In place of features: functions over the rows of windows that end at the time of a read."},
		field{name: "granularity", shape: durationShape(),
			doc: "Of aggregations: the length of the tiles that rows are added up to, and of which windows are made. None: windows are exact."},
		field{name: "ttl", shape: durationShape(), doc: "The greatest age at which a value still counts. None: no limit."},
		field{name: "schedule", shape: textOf("a cron schedule"),
			doc: "When to materialize: five cron fields, @hourly, @daily, @every 15m; in UTC unless CRON_TZ=Zone comes first."},
		field{name: "delay", shape: durationShape(), doc: "How late the data arrives: a row is visible that much after its event time."},
		field{name: "allow_exact_matches", shape: flagOf(), doc: "Whether a row at exactly the time of a read is visible; true by default."},
		field{name: "online", shape: flagOf(), doc: "Whether the newest values are published to the online store; true by default."},
	)
	s.exclusive, s.either = [2]string{"features", "aggregations"}, true
	return s
}

func featureShape() *shape {
	s := namedRecord("feature",
		field{name: "name", required: true, shape: nameShape(), doc: "The feature's name; without column and expr also the source column's."},
		field{name: "column", shape: columnShape(), doc: "The source column, where it has another name; a.b.c reaches into structs."},
		field{name: "expr", shape: textOf("an expression"), doc: "An SQL expression over the source's columns."},
		field{name: "type", shape: typeShape(), doc: "The type; that of the column or expression by default."},
		field{name: "default", shape: &shape{kind: valueShape, what: "a value or a list of values"},
			doc: "What stands in for NULL and for rows that are not found, in training and serving alike."},
	)
	s.exclusive = [2]string{"column", "expr"}
	return s
}

func aggregationShape() *shape {
	s := namedRecord("aggregation",
		field{name: "function", required: true, shape: optionShape("a function", "functions", aggregate.Names()...), doc: "What to compute."},
		field{name: "windows", required: true, shape: listOf(windowShape(), 1, false), doc: "The windows: durations, or unbounded. Each makes a feature."},
		field{name: "column", shape: columnShape(), doc: "The source column that goes into the function; a.b.c reaches into structs."},
		field{name: "expr", shape: textOf("an expression"), doc: "An SQL expression over the source's columns that goes into the function."},
		field{name: "where", shape: textOf("an expression"), doc: "Only rows for which this expression is true count for this aggregation."},
		field{name: "name", shape: nameShape(), doc: "What the features are called, before _WINDOW; column_function by default."},
		field{name: "default", shape: &shape{kind: valueShape, what: "a value or a list of values"},
			doc: "What stands in for NULL, the result for a window without values."},
		field{name: "n", shape: &shape{kind: numberShape, what: "a number"}, doc: "Of first_n and last_n: how many values."},
		field{name: "p", shape: &shape{kind: numbersShape, itemsMin: 1, what: "a number or a list of numbers"},
			doc: "Of approx_percentile: which ones, from 0 to 1. A list makes a list."},
		field{name: "precision", shape: &shape{kind: numberShape, what: "a number"},
			doc: "Of approx_count_distinct: the base 2 logarithm of the number of registers; 12 by default, for an error of 1.6 %."},
		field{name: "accuracy", shape: &shape{kind: numberShape, what: "a number"},
			doc: "Of approx_percentile: the relative error of a value; 0.01 by default."},
	)
	s.what = "a mapping with a function and windows"
	s.exclusive = [2]string{"column", "expr"}
	return s
}

func onDemandShape() *shape {
	return namedRecord("on_demand",
		field{name: "name", required: true, shape: nameShape(), doc: "What expressions and services call these features together."},
		field{name: "request", shape: &shape{kind: dictShape, nullable: true, what: "a mapping from fields to types", key: nameShape(), item: typeShape()},
			doc: "The fields of a request, or columns of a spine, that the expressions take, with their types."},
		field{name: "views", shape: &shape{kind: dictShape, what: "a mapping from names to views", key: nameShape(), item: textOf("the name of a view")},
			doc: "Other names for views in the expressions, for one that a service has more than once: {payee: customer_profile}."},
		field{name: "features", required: true, shape: listOf(onDemandFeatureShape(), 1, false), doc: "What is computed: names with expressions."},
	)
}

func onDemandFeatureShape() *shape {
	return namedRecord("feature",
		field{name: "name", required: true, shape: nameShape(), doc: "The feature's name."},
		field{name: "expr", required: true, shape: textOf("an expression"),
			doc: "An SQL expression over fields of the request, features before this one, view.feature and on_demand.feature."},
		field{name: "type", shape: typeShape(), doc: "The type; that of the expression by default."},
		field{name: "default", shape: &shape{kind: valueShape, what: "a value or a list of values"}, doc: "What stands in for NULL, in training and serving alike."},
	)
}

func serviceShape() *shape {
	return namedRecord("service",
		field{name: "name", required: true, shape: nameShape(), doc: "The service's name."},
		field{name: "features", required: true, shape: listOf(refShape(), 1, false), doc: "Whole views and on_demand entries, or chosen features of them, in order."},
	)
}

func refShape() *shape {
	return &shape{kind: recordShape, noun: "item", what: "a mapping with a view or on_demand", exclusive: [2]string{"view", "on_demand"}, either: true, fields: []field{
		{name: "view", shape: nameShape(), doc: "A view."},
		{name: "on_demand", shape: nameShape(), doc: "An entry of on_demand."},
		{name: "features", shape: listOf(chosenShape(), 1, false), doc: "Features of it, in order; all of them by default."},
		{name: "as", shape: nameShape(), doc: "An alias: the columns become alias__feature."},
		{name: "keys", shape: keyMapShape("spine or request"),
			doc: "Of a view: which column of the spine or request holds each of the entity's keys, where it has another name."},
		{name: "views", shape: &shape{kind: dictShape, what: "a mapping from names to views or aliases", key: nameShape(), item: textOf("the name of a view or alias of the service")},
			doc: "Of on_demand: which view or alias of the service is meant by what the expressions call a view, where it has another name."},
	}}
}

// namedRecord returns the shape of a named construct; each also has a description, an owner and tags.
func namedRecord(noun string, fields ...field) *shape {
	fields = append(fields,
		field{name: "description", shape: textOf("text"), doc: "What it means, for people."},
		field{name: "owner", shape: textOf("text"), doc: "Who answers for it."},
		field{name: "tags", shape: &shape{kind: dictShape, what: "a mapping of names to values", key: textOf("text"),
			item: &shape{kind: scalarShape, what: "a text, a number, true or false"}}, doc: "Anything else worth knowing."})
	return &shape{kind: recordShape, noun: noun, ident: "name", fields: fields, what: "a mapping with a name"}
}

func listOf(item *shape, itemsMin int, nullable bool) *shape {
	return &shape{kind: listShape, item: item, itemsMin: itemsMin, nullable: nullable, what: "a list"}
}

func textOf(what string) *shape { return &shape{kind: textShape, what: what} }

func flagOf() *shape { return &shape{kind: flagShape, what: "true or false"} }

func nameShape() *shape {
	return &shape{kind: textShape, pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, bytesMax: nameBytesMax,
		what: "a name: letters, digits and _, at most 100, not beginning with a digit"}
}

func chosenShape() *shape {
	s := nameShape()
	s.noun = "feature"
	return s
}

func columnShape() *shape { return textOf("the name of a column") }

func keyMapShape(of string) *shape {
	return &shape{kind: dictShape, what: "a mapping from the entity's keys to " + of + " columns",
		key: nameShape(), item: textOf("the name of a " + of + " column")}
}

func durationShape() *shape {
	return &shape{kind: textShape, pattern: `^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$`,
		what: "a duration such as 90s, 15m, 6h, 7d or 1d12h"}
}

func windowShape() *shape {
	s := &shape{kind: textShape, noun: "window", pattern: durationShape().pattern, what: "a duration such as 1h, 7d, or unbounded"}
	s.pattern = "^unbounded$|" + s.pattern
	return s
}

func optionShape(what, plural string, options ...string) *shape {
	return &shape{kind: textShape, what: what, plural: plural, options: options}
}

func typeShape() *shape {
	names := feature.TypeNames()
	for _, n := range feature.TypeNames() {
		names = append(names, "list<"+n+">")
	}
	return optionShape("a type", "types", names...)
}

func keyTypeShape() *shape {
	var names []string
	for _, n := range feature.TypeNames() {
		if t, err := feature.ParseType(n); err == nil && t.IsKey() {
			names = append(names, n)
		}
	}
	return optionShape("a key type", "key types", names...)
}
