// Reads the results of one run on standard input (what the suite's cli.mjs prints) and writes the verdict on
// every test as the suite itself gives it: kinds, dependencies and tests for browsers only are its business.
//
//   node verdicts.mjs < results.json  →  [{group, id, name, kind, verdict, detail}, …]

import fs from 'fs'
import groups from './suite/tests/index.mjs'
import surrogate from './suite/tests/surrogate-control.mjs'
import { determineTestResult } from './suite/lib/display.mjs'

// The suite's verdicts are symbols made for a terminal.
const words = {
  '-': 'untested',
  '✅': 'pass',
  '⛔️': 'fail',
  '⚠️': 'fail', // of an optimal test
  Y: 'yes',
  N: 'no',
  '🔹': 'setup',
  '⁉️': 'harness',
  '⚪️': 'dependency',
  '↻': 'retry'
}

const results = JSON.parse(fs.readFileSync(0, 'utf8'))
const all = [...groups, surrogate] // the order of cli.mjs
const verdicts = []
for (const group of all) {
  for (const test of group.tests) {
    const verdict = words[determineTestResult(all, test.id, results)[2]]
    if (verdict === undefined) throw new Error(`${test.id} has a verdict without a word`)
    const result = results[test.id]
    verdicts.push({
      group: group.name,
      id: test.id,
      name: test.name,
      kind: test.kind || 'required',
      verdict,
      detail: Array.isArray(result) ? result[1] : ''
    })
  }
}
process.stdout.write(JSON.stringify(verdicts))
