package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// at returns microseconds since the epoch, as the made-up tables hold them.
func at(text string) int64 {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

// TestBadDefinitions makes mistakes in the definitions, or in the files that they name.
func TestBadDefinitions(t *testing.T) {
	type textIncome struct {
		Customer int64  `parquet:"customer_id"`
		Updated  int64  `parquet:"updated_at,timestamp(microsecond)"`
		Loaded   int64  `parquet:"loaded_at,timestamp(microsecond)"`
		Income   string `parquet:"income"`
	}
	for _, c := range []struct {
		name, old, new string
		file           bool // another customers file, whose income is text
		wants          []string
	}{
		{"no such column", "column: amount", "column: amuont", false, []string{"features.yaml:", "feature last_amount of view last_payment: source transactions has no column amuont", "hint: did you mean amount?"}},
		{"no such column in an expression", "merchant.country <>", "merchant.county <>", false, []string{"unknown column merchant.county", "did you mean merchant.country?"}},
		{"a column of another type", "{name: birth_year, type: int64}", "{name: home_country, type: int64}", false, []string{"feature home_country of view profile: it is declared as int64, but is string", "convert it with expr: cast(home_country as int64)"}},
		{"files that disagree on a type", "ttl: 30d", "ttl: 30d", true, []string{"column income is float64", "and string", "customers.parquet", "zz.parquet", "write one of the files again, or split the source"}},
		{"a time column that is none", "event_time: updated_at", "event_time: home_country", false, []string{"source customers: the event_time column home_country is string, not a timestamp", "take a column of timestamps or dates"}},
		{"no such time column", "event_time: updated_at", "event_time: updatet_at", false, []string{"source customers has no column updatet_at for its event_time", "did you mean updated_at?"}},
		{"a view twice in a service", ", as: payee", "", false, []string{"service fraud", "listed twice", "give one an alias (as: NAME)"}},
		{"a name twice in a service", "name: income_k", "name: last_amount", false, []string{"last_amount", "taken twice", "alias (as: NAME)"}},
		{"a name twice in a view", "name: last_category", "name: last_amount", false, []string{"the name last_amount is taken by feature last_amount", "choose another name"}},
		{"a glob without a match", "data/customers/*.parquet", "data/costumers/*.parquet", false, []string{"source customers: no file matches data/costumers/*.parquet in ", "put files there, or correct the path"}},
		{"a file that is no Parquet", "data/customers/*.parquet", "'*.csv'", false, []string{"source customers: ", "training.csv", "corrupt Parquet file", "write the file again, or leave it out"}},
		{"a glob that YAML takes for an alias", "data/customers/*.parquet", "*.parquet", false, []string{"features.yaml:17:14: ", "put it in quotes"}},
		{"no such entity", "entity: customer", "entity: costumer", false, []string{"unknown entity costumer", "did you mean customer?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inProject(t)
			edit(t, c.old, c.new)
			if c.name == "a name twice in a service" {
				edit(t, "[home_country, income_k]", "[home_country, last_amount]")
			}
			if c.file {
				writeParquet(t, "data/customers/zz.parquet", textIncome{1, at("2024-04-01"), at("2024-04-01"), "much"})
			}
			before := tree(t, ".")
			for _, verb := range []string{"validate", "plan", "apply"} {
				got := fails(t, 2, c.wants, verb)
				if n := strings.Count(got.stderr, "did you mean"); n > 1 {
					t.Errorf("%d hints:\n%s", n, got.stderr)
				}
			}
			sameFiles(t, ".", before)
		})
	}
	inProject(t)
	fails(t, 3, []string{"definitions nowhere.yaml do not exist"}, "validate", "--definitions", "nowhere.yaml")
}

// TestSourceGoesBad changes the source's files after the definitions were applied.
func TestSourceGoesBad(t *testing.T) {
	type customer struct {
		Customer int64   `parquet:"customer_id"`
		Updated  *int64  `parquet:"updated_at,optional,timestamp(microsecond)"`
		Loaded   int64   `parquet:"loaded_at,timestamp(microsecond)"`
		Born     int32   `parquet:"birth_year"`
		Country  string  `parquet:"home_country"`
		Income   float64 `parquet:"income"`
	}
	type text struct {
		Customer int64  `parquet:"customer_id"`
		Updated  int64  `parquet:"updated_at,timestamp(microsecond)"`
		Loaded   int64  `parquet:"loaded_at,timestamp(microsecond)"`
		Income   string `parquet:"income"`
	}
	inProject(t, "apply", "materialize --to 2024-03-01")
	const more = "data/customers/zz.parquet"
	for _, c := range []struct {
		name  string
		write func()
		code  int
		wants []string
	}{
		{"text for a number", func() { writeParquet(t, more, text{1, at("2024-04-01"), at("2024-04-01"), "much"}) }, 2, []string{"view profile", "zz.parquet", "income", "which cannot be read as float64"}},
		{"a row without its time", func() { writeParquet(t, more, customer{Customer: 1, Loaded: at("2024-04-01")}) }, 2, []string{"view profile", "zz.parquet", "row 0", "bad_rows: skip"}},
		{"no bytes", func() { writeFile(t, more, "") }, 5, []string{"view profile", "zz.parquet", "corrupt", "write the file again, or leave it out"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.write()
			fails(t, c.code, c.wants, "materialize", "profile")
		})
	}
	if err := os.RemoveAll("data/customers"); err != nil {
		t.Fatal(err)
	}
	fails(t, 3, []string{"view profile", "no file matches data/customers/*.parquet", "put files there"}, "materialize", "profile")
	if got := ok(t, "status"); strings.Count(got, "2024-03-01T00:00:00Z") != 4 {
		t.Errorf("the failures have changed something:\n%s", got)
	}
}

// TestEmptySource takes a source of one file that has columns, and neither rows nor row groups.
func TestEmptySource(t *testing.T) {
	type customer struct {
		Customer int64   `parquet:"customer_id"`
		Updated  int64   `parquet:"updated_at,timestamp(microsecond)"`
		Loaded   int64   `parquet:"loaded_at,timestamp(microsecond)"`
		Born     int32   `parquet:"birth_year"`
		Country  string  `parquet:"home_country"`
		Income   float64 `parquet:"income"`
	}
	inProject(t)
	if err := os.RemoveAll("data/customers"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("data/customers", 0o700); err != nil {
		t.Fatal(err)
	}
	writeParquet[customer](t, "data/customers/none.parquet")
	ok(t, "apply")
	if got := ok(t, "materialize"); !strings.Contains(got, "profile: 0 rows to 2024-05-17T09:30:00Z") {
		t.Errorf("materialize: %s", got)
	}
	ok(t, "export", "fraud", "--spine", "training.csv", "--out", "set.csv")
	if _, rows := readCSV(t, "set.csv"); len(rows) != 1000 || rows[0]["home_country"] != "unknown" || rows[999]["income_k"] != "0" {
		t.Errorf("%d rows, the first %v", len(rows), rows[0])
	}
	onlineEqualsOffline(t, 3)
	writeParquet(t, "data/customers/some.parquet", customer{1, at("2024-05-17"), at("2024-05-17"), 1990, "DE", 5000})
	ok(t, "materialize", "--from", "2024-05-01")
	if got, _ := getJSON(t, "fraud", "--key", "customer_id=1", "--key", "payee_id=1"); got.Features["income_k"].Value != 5.0 {
		t.Errorf("after the first rows came: %+v", got)
	}
}

func TestBadSpines(t *testing.T) {
	inProject(t, "apply", "materialize")
	if err := os.Mkdir("directory.csv", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "no_time.csv", "customer_id,payee_id\n1,2\n")
	writeFile(t, "typo.csv", "customer_id,payee_id,event_timestmp\n1,2,2024-05-01\n")
	writeFile(t, "no_key.csv", "customer_id,event_timestamp\n1,2024-05-01\n")
	writeFile(t, "text_key.csv", "customer_id,payee_id,event_timestamp\n1,2,2024-05-01\nseven,2,2024-05-01\n")
	writeFile(t, "bad_time.csv", "customer_id,payee_id,event_timestamp\n1,2,May\n")
	writeFile(t, "taken.csv", "customer_id,payee_id,event_timestamp,last_amount\n1,2,2024-05-01,3\n")
	writeFile(t, "ragged.csv", "customer_id,payee_id,event_timestamp\n1,2\n")
	writeFile(t, "empty.csv", "")
	writeFile(t, "broken.parquet", "PAR1 and no more")
	writeFile(t, "good.csv", "customer_id,payee_id,event_timestamp\n1,2,2024-05-01\n")
	before := tree(t, ".")
	for _, c := range []struct {
		name, spine, out string
		code             int
		wants            []string
	}{
		{"without the time column", "no_time.csv", "out.csv", 2, []string{"spine no_time.csv has no time column \"event_timestamp\"", "its columns are customer_id, payee_id", "--time-column"}},
		{"a typo in the time column", "typo.csv", "out.csv", 2, []string{"did you mean event_timestmp?"}},
		{"without a key column", "no_key.csv", "out.csv", 2, []string{"spine no_key.csv has no key column \"payee_id\"", "map the key to another name in service fraud"}},
		{"text in a key", "text_key.csv", "out.csv", 2, []string{"text_key.csv", "3", "customer_id", `"seven"`}},
		{"no time in the time column", "bad_time.csv", "out.parquet", 2, []string{"bad_time.csv", "event_timestamp", `"May"`, "write 2006-01-02"}},
		{"a name that a feature has", "taken.csv", "out.csv", 2, []string{`"last_amount" is taken twice`, "alias (as: NAME)"}},
		{"a short line", "ragged.csv", "out.csv", 2, []string{"ragged.csv", "2"}},
		{"no header", "empty.csv", "out.csv", 2, []string{"empty.csv"}},
		{"damaged", "broken.parquet", "out.csv", 5, []string{"broken.parquet"}},
		{"not there", "nowhere.csv", "out.csv", 3, []string{"nowhere.csv", "no such file"}},
		{"unknown format", "good.csv", "out.txt", 2, []string{"out.txt", "use one of .parquet, .csv"}},
		{"no such directory", "good.csv", "no/where/out.csv", 3, []string{"there is no directory no/where: create it first"}},
		{"a directory", "good.csv", "directory.csv", 2, []string{"directory.csv: it is a directory: name a file"}},
		{"the spine itself", "good.csv", "./good.csv", 2, []string{"is the spine itself", "name another file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fails(t, c.code, c.wants, "export", "fraud", "--spine", c.spine, "--out", c.out)
			sameFiles(t, ".", before)
		})
	}
	fails(t, 3, []string{`no service "froud": did you mean fraud?`}, "export", "froud", "--spine", "good.csv", "--out", "out.csv")
	if got := ok(t, "export", "fraud", "--spine", "good.csv", "--out", "out.csv"); !strings.Contains(got, "1 rows") && !strings.Contains(got, "1 row") {
		t.Errorf("got %s", got)
	}
}

func TestUnreadableStores(t *testing.T) {
	inProject(t, "apply", "materialize")
	writeFile(t, "file", "no directory")
	if err := os.Symlink("nowhere/at/all", "dangling"); err != nil {
		t.Fatal(err)
	}
	places := []string{"file", "dangling"}
	if os.Geteuid() != 0 { // root may read everything
		if err := os.MkdirAll("closed/registry", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod("closed", 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod("closed", 0o700) }) // so that it can be removed
		places = append(places, "closed")
	}
	for _, place := range places {
		for _, line := range []string{"plan", "apply", "status", "materialize", "export fraud --spine training.csv --out out.csv", "get fraud --key customer_id=1 --key payee_id=2", "serve"} {
			t.Run(place+" "+line, func(t *testing.T) {
				fails(t, 6, []string{"warehouse " + place, "directory"}, append(strings.Fields(line), "--warehouse", place)...)
			})
		}
		t.Run(place+" as online store", func(t *testing.T) {
			fails(t, 6, []string{"online store " + place}, "materialize", "--online", place)
			fails(t, 6, []string{"online store " + place}, "get", "fraud", "--key", "customer_id=1", "--key", "payee_id=2", "--online", place)
		})
	}
	if _, err := os.Lstat("out.csv"); err == nil {
		t.Error("an export that failed has left a file")
	}
}
