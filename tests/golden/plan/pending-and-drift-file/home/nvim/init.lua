vim.opt.number = false
vim.opt.expandtab = true
vim.opt.shiftwidth = 4
