/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands: each takes the words behind its name and returns the exit status.
 */
#ifndef NONO_COMMANDS_COMMANDS_H
#define NONO_COMMANDS_COMMANDS_H

#define EXIT_USAGE 2   /* wrong options or configuration; nothing was started */
#define EXIT_OURS  125 /* our failure before COMMAND ran */

int command_run(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_env(int argc, char **argv);
int command_attach(int argc, char **argv);
int command_detach(int argc, char **argv);
int command_status(int argc, char **argv);
int command_exec(int argc, char **argv);
int command_why(int argc, char **argv);
int command_config(int argc, char **argv);
int command_version(int argc, char **argv);

#endif
