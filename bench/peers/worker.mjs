// One contender in a process of its own: opens what it is told to, then measures stage after stage, one at a time.
process.once('message', async ({ name, setup }) => {
  try {
    const { open } = await import(`./${name}.mjs`);
    const begun = performance.now();
    const { stages, ...facts } = await open(setup);
    process.on('message', async ({ stage }) => {
      try {
        process.send({ ms: await stages[stage]() });
      } catch (error) {
        process.send({ error: error.message });
      }
    });
    process.send({ loadMs: performance.now() - begun, ...facts });
  } catch (error) {
    process.send({ error: error.message });
  }
});
