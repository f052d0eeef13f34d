import { isPkiError } from '@fleetroot/core';
import { Command, CommanderError } from 'commander';
import { archiveCommand } from './archive/command.ts';
import { auditCommand } from './audit/command.ts';
import { caCommand } from './ca/command.ts';
import { addCeremonyCommands } from './ceremony/commands.ts';
import { version } from './checkout.ts';
import { exitStatus } from './exit-status.ts';
import { fsckCommand } from './fsck/command.ts';
import { lineCommand } from './line/command.ts';
import { revokeCommand } from './revoke/command.ts';
import { tokenCommand } from './token/command.ts';
import { init } from './up/init.ts';
import { initCommand, upCommand } from './up/options.ts';
import { up } from './up/up.ts';

const program = new Command('fleetroot')
  .description('PKI and certificate lifecycle platform that a vehicle maker runs itself')
  .version(version())
  .exitOverride()
  // What follows the name of a command is that command's, also where both know an option.
  .enablePositionalOptions()
  .addCommand(upCommand(async (options) => {
    // Whatever still waits for something (a socket, a timer) must not keep a stopped installation alive.
    process.exit(await up(options));
  }))
  .addCommand(initCommand(async (options) => {
    // The schema engine leaves a timer of ten seconds behind.
    process.exit(await init(options));
  }))
  .addCommand(caCommand())
  .addCommand(lineCommand())
  .addCommand(revokeCommand())
  .addCommand(tokenCommand())
  .addCommand(auditCommand())
  .addCommand(archiveCommand())
  .addCommand(fsckCommand());
addCeremonyCommands(program);
inheritExitOverride(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = statusOf(error);
}

function statusOf(error: unknown): number {
  // Commander has said what is wrong with the command line; help and version are no faults.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.ok : exitStatus.usage;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`fleetroot: ${message.replaceAll(/\s+/g, ' ')}\n`);
  return isPkiError(error) && error.code === 'config.invalid' ? exitStatus.usage : exitStatus.failed;
}

/** Commands that were made elsewhere do not take the override over by themselves. */
function inheritExitOverride(command: Command): void {
  for (const child of command.commands) {
    child.exitOverride();
    inheritExitOverride(child);
  }
}
