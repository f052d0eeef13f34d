import { Command } from 'commander';
import { filterCommand } from './filter.ts';
import { importCommand } from './import.ts';
import { listCommand } from './list.ts';
import { stateCommand } from './state.ts';
import { succeedCommand } from './succeed.ts';

export function caCommand(): Command {
  return new Command('ca').description('certification authorities')
    .addCommand(listCommand())
    .addCommand(importCommand())
    .addCommand(stateCommand())
    .addCommand(succeedCommand())
    .addCommand(filterCommand());
}
