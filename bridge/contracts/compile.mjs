// Compiles our Solidity into artifacts/<Name>.json, byte for byte the same on every machine.
//
//   node bridge/contracts/compile.mjs           write the artifacts
//   node bridge/contracts/compile.mjs --check   exit 1 when a committed artifact differs from its source
//
// Reproducible means: the compiler and the libraries are pinned npm packages, source names are relative, the metadata
// hash is left out of the bytecode, and JSON keys keep one order.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const sourceFolder = join(here, "src");
const artifactFolder = join(here, "artifacts");
const require = createRequire(import.meta.url);

const settings = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 1000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: {
    "*": {
      "*": [
        "abi",
        "evm.bytecode.object",
        "evm.deployedBytecode.object",
        "evm.deployedBytecode.immutableReferences",
        "storageLayout",
      ],
    },
  },
};

function solidityFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory()
        ? solidityFiles(join(folder, entry.name))
        : entry.name.endsWith(".sol")
          ? [join(folder, entry.name)]
          : [],
    )
    .sort();
}

function compile() {
  const solc = require("solc");
  const sources = Object.fromEntries(
    solidityFiles(sourceFolder).map((file) => [
      relative(sourceFolder, file).split(sep).join("/"),
      { content: readFileSync(file, "utf8") },
    ]),
  );
  const readLibrary = (name) => {
    try {
      return { contents: readFileSync(require.resolve(name), "utf8") };
    } catch (error) {
      return { error: `${name} isn't installed (${error.code}); run npm ci` };
    }
  };
  const input = JSON.stringify({ language: "Solidity", sources, settings });
  const output = JSON.parse(solc.compile(input, { import: readLibrary }));
  const ours = (problem) => problem.severity === "error" || !problem.sourceLocation?.file.startsWith("@");
  const problems = (output.errors ?? []).filter(ours); // a library's own warnings aren't ours to mend
  for (const problem of problems) console.error(problem.formattedMessage);
  if (problems.length > 0) process.exit(2); // our sources compile without warnings
  return { output, sources: Object.keys(sources), version: solc.version() };
}

/** Type names carry numbers that depend on what else is compiled; the layout keeps only what readers need. */
function readableLayout(layout) {
  return layout.storage.map(({ label, slot, offset, type }) => ({
    label,
    slot: Number(slot),
    offset,
    type: layout.types[type].label,
  }));
}

/** Immutables by first offset, without the compiler's syntax tree ids, which change with unrelated sources. */
function immutableOffsets(references) {
  return Object.values(references)
    .map((places) => places.map(({ start, length }) => ({ start, length })))
    .sort((one, other) => one[0].start - other[0].start);
}

function artifacts() {
  const { output, sources, version } = compile();
  const files = new Map();
  for (const source of sources) {
    for (const [name, contract] of Object.entries(output.contracts[source] ?? {})) {
      const published = /^options\/I[^/]*$/.test(source); // the options rollup has no code: its interfaces are all there is
      if (contract.evm.bytecode.object === "" && !published) continue; // others exist only within contracts
      const artifact = {
        name,
        source,
        solc: version,
        evmVersion: settings.evmVersion,
        optimizerRuns: settings.optimizer.runs,
        abi: contract.abi,
        bytecode: `0x${contract.evm.bytecode.object}`,
        deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
        immutableReferences: immutableOffsets(contract.evm.deployedBytecode.immutableReferences ?? {}),
        storageLayout: readableLayout(contract.storageLayout ?? { storage: [], types: {} }),
      };
      files.set(`${name}.json`, `${JSON.stringify(artifact, null, 1)}\n`);
    }
  }
  return files;
}

function committed() {
  return existsSync(artifactFolder) ? readdirSync(artifactFolder).filter((name) => name.endsWith(".json")) : [];
}

function check(files) {
  const differing = [...new Set([...files.keys(), ...committed()])].filter((name) => {
    const path = join(artifactFolder, name);
    return !files.has(name) || !existsSync(path) || readFileSync(path, "utf8") !== files.get(name);
  });
  if (differing.length === 0) return;
  console.error(`artifacts differ from their sources: ${differing.join(", ")}; run node bridge/contracts/compile.mjs`);
  process.exit(1);
}

function write(files) {
  mkdirSync(artifactFolder, { recursive: true });
  for (const name of committed()) if (!files.has(name)) rmSync(join(artifactFolder, name));
  for (const [name, text] of files) writeFileSync(join(artifactFolder, name), text);
}

const files = artifacts();
if (process.argv.includes("--check")) check(files);
else write(files);
